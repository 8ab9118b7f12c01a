/** The statements of the audit log. What is hashed is spelled out here once more: the trigger does not judge itself (A6). */
import { AuditEntry, AuditFilter } from "@broker/domain/AuditEntry"
import { OrganizationId } from "@broker/domain/Organization"
import { Uuid } from "@broker/domain/Primitives"
import { DateTime, Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

/** The chain of an organization, or that of the installation, which has the entries of nobody. */
export const Chain = Schema.NullOr(OrganizationId)
export type Chain = typeof Chain.Type

/** Stands for the installation in tables that have one row for each chain. */
const installation = "00000000-0000-0000-0000-000000000000"

export const chainId = (chain: string | null): string => chain ?? installation

const Now = Schema.DateTimeUtcFromDate

/** Numbers of entries: exact up to 2^53, which nobody lives to see. */
const Seq = Schema.Int

const Listed = Schema.Struct({ ...AuditEntry.fields, at: Now })

/** An entry with what it takes to check it without the broker. */
export const ProvenEntry = Schema.Struct({
  ...Listed.fields,
  /** The text that was hashed, as it comes out of the row of now. */
  text: Schema.String
})
export type ProvenEntry = typeof ProvenEntry.Type

/** Where a chain ends, and where what is kept of it begins. Hashes are hex. */
export const Head = Schema.Struct({
  seq: Seq,
  hash: Schema.String,
  firstSeq: Seq,
  anchor: Schema.String
})

/** An entry as verification meets it. */
export const Link = Schema.Struct({ seq: Seq, hash: Schema.String, sound: Schema.Boolean })

/** An entry that is not sound, in parts that make another text of it: for another place, or after another entry. */
export const Suspect = Schema.Struct({
  seq: Seq,
  hash: Schema.String,
  previous: Schema.NullOr(Schema.String),
  rest: Schema.String
})

/** The signed end of a chain. */
export const Checkpoint = Schema.Struct({
  seq: Seq,
  hash: Schema.String,
  at: Now,
  keyId: Schema.String,
  jws: Schema.String
})
export type Checkpoint = typeof Checkpoint.Type

export const AuditKey = Schema.Struct({
  id: Uuid,
  publicKey: Schema.Uint8Array,
  privateKey: Schema.Uint8Array,
  createdAt: Now
})

const escaped = (text: string) => text.replaceAll(/[\\%_]/g, (character) => `\\${character}`)

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const ofChain = (chain: string | null) =>
    chain === null ? sql`e.organization_id is null` : sql`e.organization_id = ${chain}::uuid`

  const ofPrevious = (chain: string | null) =>
    chain === null ? sql`p.organization_id is null` : sql`p.organization_id = ${chain}::uuid`

  /** What follows the previous hash and the number in the hashed text. */
  const rest = sql.literal(`
    e.id, e.organization_id, to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    e.actor_kind, e.actor_id, e.actor_name, host(e.address), e.request_id,
    e.action, e.subject_kind, e.subject_id, e.outcome, e.details, e.changes`)

  const columns = sql.literal(`
    e.seq::float8 as seq, e.at, e.actor_kind, e.actor_id, e.actor_name, host(e.address) as address, e.request_id,
    e.action, e.subject_kind, e.subject_id, e.outcome, e.details, e.changes, encode(e.hash, 'hex') as hash`)

  const matching = (chain: string | null, filter: AuditFilter) => {
    const text = filter.text.trim()
    const part = `%${escaped(text.toLowerCase())}%`
    return [
      ofChain(chain),
      sql`e.seq is not null`,
      ...(filter.from === null ? [] : [sql`e.at >= ${DateTime.toDateUtc(filter.from)}`]),
      ...(filter.to === null ? [] : [sql`e.at < ${DateTime.toDateUtc(filter.to)}`]),
      ...(filter.action === null
        ? []
        : filter.action.endsWith(":")
          ? // Between `noun:` and what would come after everything that begins so.
            [
              sql`e.action collate "C" >= ${filter.action}`,
              sql`e.action collate "C" < ${`${filter.action.slice(0, -1)};`}`
            ]
          : [sql`e.action collate "C" = ${filter.action}`]),
      ...(filter.actorKinds.length === 0 ? [] : [sql.in("actor_kind", filter.actorKinds)]),
      ...(filter.actorId === null ? [] : [sql`e.actor_id = ${filter.actorId}::uuid`]),
      ...(filter.subjectKind === null ? [] : [sql`e.subject_kind = ${filter.subjectKind}`]),
      ...(filter.subjectId === null ? [] : [sql`e.subject_id = ${filter.subjectId}::uuid`]),
      ...(filter.outcome === null ? [] : [sql`e.outcome = ${filter.outcome}`]),
      ...(text === ""
        ? []
        : [
            sql.or([
              sql`lower(e.actor_name) like ${part}`,
              sql`e.action like ${part}`,
              sql`lower(e.details ->> 'name') like ${part}`,
              sql`lower(e.request_id) like ${part}`,
              sql`host(e.address) like ${part}`,
              sql`e.subject_id::text like ${part}`,
              sql`e.actor_id::text like ${part}`
            ])
          ])
    ]
  }

  const Filtered = Schema.Struct({
    chain: Chain,
    filter: Schema.toType(AuditFilter),
    limit: Schema.Int
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({ ...Filtered.fields, before: Schema.NullOr(Seq) }),
    Result: Listed,
    execute: ({ before, chain, filter, limit }) => sql`
        select ${columns}
          from audit_entries e
         where ${sql.and([
           ...matching(chain as Chain, filter),
           ...(before === null ? [] : [sql`e.seq < ${before}::bigint`])
         ])}
      order by e.seq desc
         limit ${limit}`
  })

  /** The oldest first, with the hashed text of each, up to an end that stays where it is while others write. */
  const proven = SqlSchema.findAll({
    Request: Schema.Struct({ ...Filtered.fields, after: Seq, until: Seq }),
    Result: ProvenEntry,
    execute: ({ after, chain, filter, limit, until }) => sql`
        select ${columns},
               json_build_array(
                 coalesce(
                   (select encode(p.hash, 'hex')
                      from audit_entries p
                     where ${ofPrevious(chain)}
                       and p.seq = e.seq - 1),
                   (select encode(h.anchor, 'hex')
                      from audit_heads h
                     where h.organization_id = ${chainId(chain)}::uuid
                       and h.first_seq = e.seq)),
                 e.seq, ${rest})::text as text
          from audit_entries e
         where ${sql.and([
           ...matching(chain as Chain, filter),
           sql`e.seq > ${after}::bigint`,
           sql`e.seq <= ${until}::bigint`
         ])}
      order by e.seq
         limit ${limit}`
  })

  /** From one action to the next by the index, however many entries there are of each. */
  const actions = SqlSchema.findAll({
    Request: Schema.String,
    Result: Schema.Struct({ action: Schema.String }),
    execute: (organizationId) => sql`
      with recursive found as (
        (select action collate "C" as action
           from audit_entries
          where organization_id = ${organizationId}::uuid
       order by action collate "C"
          limit 1)
         union all
        select (select e.action collate "C"
                  from audit_entries e
                 where e.organization_id = ${organizationId}::uuid
                   and e.action collate "C" > found.action
              order by e.action collate "C"
                 limit 1)
          from found
         where found.action is not null
      )
      select action from found where action is not null`
  })

  const head = SqlSchema.findOneOption({
    Request: Schema.String,
    Result: Head,
    execute: (id) => sql`
      select seq::float8 as seq, encode(hash, 'hex') as hash, first_seq::float8 as first_seq, encode(anchor, 'hex') as anchor
        from audit_heads
       where organization_id = ${id}::uuid`
  })

  /** The same, and nobody adds to the chain until the transaction is over. */
  const lockHead = SqlSchema.findOneOption({
    Request: Schema.String,
    Result: Head,
    execute: (id) => sql`
      select seq::float8 as seq, encode(hash, 'hex') as hash, first_seq::float8 as first_seq, encode(anchor, 'hex') as anchor
        from audit_heads
       where organization_id = ${id}::uuid
         for no key update`
  })

  const Span = Schema.Struct({ chain: Chain, after: Seq, previous: Schema.String, limit: Schema.Int })

  /** Each entry's text is made and hashed anew, after the hash that stands in the entry before. */
  const links = SqlSchema.findAll({
    Request: Span,
    Result: Link,
    execute: ({ after, chain, limit, previous }) => sql`
        select e.seq::float8 as seq,
               encode(e.hash, 'hex') as hash,
               e.hash = sha256(convert_to(json_build_array(
                 coalesce(encode(lag(e.hash) over (order by e.seq), 'hex'), ${previous}), e.seq, ${rest})::text, 'UTF8')) as sound
          from audit_entries e
         where ${ofChain(chain)}
           and e.seq > ${after}::bigint
      order by e.seq
         limit ${limit}`
  })

  const suspects = SqlSchema.findAll({
    Request: Schema.Struct({ chain: Chain, seqs: Schema.Array(Seq) }),
    Result: Suspect,
    execute: ({ chain, seqs }) => sql`
        select e.seq::float8 as seq,
               encode(e.hash, 'hex') as hash,
               (select encode(p.hash, 'hex') from audit_entries p where ${ofPrevious(chain)} and p.seq = e.seq - 1) as previous,
               json_build_array(${rest})::text as rest
          from audit_entries e
         where ${ofChain(chain)}
           and ${sql.in("seq", seqs)}
      order by e.seq`
  })

  /** Entries that have no place in the chain, as nothing sealed them. */
  const unsealed = SqlSchema.findOne({
    Request: Chain,
    Result: Schema.Struct({ entries: Schema.Int }),
    execute: (chain) =>
      sql`select count(*)::int as entries from audit_entries e where ${ofChain(chain)} and e.seq is null`
  })

  /** With the hash of the entry that each is about, where that is still kept. */
  const checkpoints = SqlSchema.findAll({
    Request: Schema.Struct({ chain: Chain, after: Seq, limit: Schema.Int }),
    Result: Schema.Struct({ ...Checkpoint.fields, entryHash: Schema.NullOr(Schema.String) }),
    execute: ({ after, chain, limit }) => sql`
        select c.seq::float8 as seq, encode(c.hash, 'hex') as hash, c.at, c.key_id, c.jws,
               (select encode(e.hash, 'hex') from audit_entries e where ${ofChain(chain)} and e.seq = c.seq) as entry_hash
          from audit_checkpoints c
         where c.organization_id = ${chainId(chain)}::uuid
           and c.seq > ${after}::bigint
      order by c.seq
         limit ${limit}`
  })

  const hashAt = SqlSchema.findOneOption({
    Request: Schema.Struct({ chain: Chain, seq: Seq }),
    Result: Schema.Struct({ hash: Schema.String }),
    execute: ({ chain, seq }) =>
      sql`select encode(e.hash, 'hex') as hash from audit_entries e where ${ofChain(chain)} and e.seq = ${seq}::bigint`
  })

  const newestCheckpoint = SqlSchema.findOneOption({
    Request: Schema.String,
    Result: Checkpoint,
    execute: (id) => sql`
        select seq::float8 as seq, encode(hash, 'hex') as hash, at, key_id, jws
          from audit_checkpoints
         where organization_id = ${id}::uuid
      order by audit_checkpoints.seq desc
         limit 1`
  })

  const insertCheckpoint = SqlSchema.void({
    Request: Schema.Struct({ ...Checkpoint.fields, organizationId: Schema.String }),
    execute: ({ at, hash, jws, keyId, organizationId, seq }) => sql`
      insert into audit_checkpoints (organization_id, seq, hash, at, key_id, jws)
      values (${organizationId}::uuid, ${seq}::bigint, decode(${hash}, 'hex'), ${at}, ${keyId}::uuid, ${jws})
      on conflict do nothing`
  })

  /** Chains that have grown since they were signed last. */
  const grown = SqlSchema.findAll({
    Request: Schema.Struct({ limit: Schema.Int }),
    Result: Schema.Struct({ organizationId: Schema.String, seq: Seq, hash: Schema.String }),
    execute: ({ limit }) => sql`
        select h.organization_id, h.seq::float8 as seq, encode(h.hash, 'hex') as hash
          from audit_heads h
         where h.seq > coalesce((select max(c.seq) from audit_checkpoints c where c.organization_id = h.organization_id), 0)
      order by h.organization_id
         limit ${limit}`
  })

  const keys = SqlSchema.findAll({
    Request: Schema.Void,
    Result: AuditKey,
    execute: () => sql`select id, public_key, private_key, created_at from audit_keys order by created_at, id`
  })

  /** One key at a time is made. */
  const lockKeys = sql`select pg_advisory_xact_lock(${0x61756469746b6579n})`

  const insertKey = SqlSchema.void({
    Request: AuditKey,
    execute: (key) => sql`insert into audit_keys ${sql.insert(key)}`
  })

  /** Whoever keeps entries for a time only. */
  const retentions = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ organizationId: Schema.String, days: Schema.Int }),
    execute: () => sql`
        select organization_id, audit_retention_days as days
          from security_policies
         where audit_retention_days is not null
      order by organization_id`
  })

  /** The last of the oldest entries that are all past their time: nothing is taken out of the middle. */
  const past = SqlSchema.findOneOption({
    Request: Schema.Struct({ chain: Chain, firstSeq: Seq, before: Now, limit: Schema.Int }),
    Result: Schema.Struct({ seq: Seq, hash: Schema.String }),
    execute: ({ before, chain, firstSeq, limit }) => sql`
        select seq::float8 as seq, encode(hash, 'hex') as hash
          from (select e.seq, e.hash, bool_and(e.at < ${before}) over (order by e.seq) as past
                  from (select e.*
                          from audit_entries e
                         where ${ofChain(chain)}
                           and e.seq >= ${firstSeq}::bigint
                      order by e.seq
                         limit ${limit}) e) as oldest
         where past
      order by oldest.seq desc
         limit 1`
  })

  const moveFirst = SqlSchema.void({
    Request: Schema.Struct({ organizationId: Schema.String, seq: Seq, hash: Schema.String }),
    execute: ({ hash, organizationId, seq }) => sql`
      update audit_heads
         set first_seq = ${seq}::bigint + 1, anchor = decode(${hash}, 'hex')
       where organization_id = ${organizationId}::uuid`
  })

  const deleteUpTo = SqlSchema.findAll({
    Request: Schema.Struct({ chain: Chain, seq: Seq }),
    Result: Schema.Struct({ gone: Schema.Int }),
    execute: ({ chain, seq }) => sql`
      with gone as (
        delete from audit_entries e where ${ofChain(chain)} and e.seq <= ${seq}::bigint returning 1
      )
      select count(*)::int as gone from gone`
  })

  /** Of checkpoints older than some days, the last of each day stays, and the one that covers what was cut off. */
  const thinCheckpoints = SqlSchema.void({
    Request: Now,
    execute: (before) => sql`
      delete from audit_checkpoints c
       using audit_heads h
       where h.organization_id = c.organization_id
         and (c.seq < h.first_seq - 1
              or (c.at < ${before}
                  and c.seq <> h.first_seq - 1
                  and exists (select
                                from audit_checkpoints later
                               where later.organization_id = c.organization_id
                                 and later.seq > c.seq
                                 and date_trunc('day', later.at) = date_trunc('day', c.at))))`
  })

  return {
    list,
    proven,
    actions,
    head,
    lockHead,
    links,
    suspects,
    unsealed,
    checkpoints,
    hashAt,
    newestCheckpoint,
    insertCheckpoint,
    grown,
    keys,
    lockKeys,
    insertKey,
    retentions,
    past,
    moveFirst,
    deleteUpTo,
    thinCheckpoints
  }
})
