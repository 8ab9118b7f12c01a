-- Its owner writes this file.
select 1;
