-- What machines are answered under an Idempotency-Key, so that whoever asks again is answered the same.

create table idempotent_answers (
  id     uuid primary key,
  scope  text not null,
  key    text not null,
  -- Sealed: it may hold a secret that is shown this once (B9, J6).
  answer bytea not null,
  constraint idempotent_answers_key_uq unique (scope, key),
  -- Brokers of the release before forget keys without knowing of answers.
  constraint idempotent_answers_key_fk foreign key (scope, key) references idempotency_keys (scope, key) on delete cascade
);
comment on table idempotent_answers is 'What the API answered to machines that sent an Idempotency-Key, for 24 hours; sealed under the encryption key.';
comment on column idempotent_answers.answer is 'Sealed: unreadable without the encryption key (J6).';
comment on table idempotency_keys is 'Which request an Idempotency-Key stood for, for 24 hours. Where the answer is kept, it is in idempotent_answers.';
