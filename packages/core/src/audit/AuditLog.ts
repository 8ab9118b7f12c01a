/** The audit log as it is read: searched, verified, exported, checkpointed, and cut at its far end (A6). */
import { hash } from "node:crypto"
import {
  type AuditEntry,
  AuditEntryNotFound,
  type AuditExportFormat,
  type AuditFault,
  type AuditFilter,
  type AuditQuery,
  type AuditVerdict
} from "@broker/domain/AuditEntry"
import { OrganizationId } from "@broker/domain/Organization"
import { InvalidCursor } from "@broker/domain/Primitives"
import { Context, DateTime, Deferred, Effect, Layer, Option, Schema, Semaphore, Stream } from "effect"
import { Base64Url } from "effect/encoding"
import { SqlClient } from "effect/sql"
import { Encryption } from "../crypto/Encryption.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Actor, broker } from "./Actor.ts"
import { Audit } from "./Audit.ts"
import * as AuditExport from "./AuditExport.ts"
import * as AuditLogSql from "./AuditLogSql.ts"
import { AuditPolicy } from "./AuditPolicy.ts"
import * as Checkpoints from "./Checkpoints.ts"

export interface Verification {
  /** A checkpoint that was kept elsewhere, to compare with: a compact JWS. */
  readonly checkpoint?: string | undefined
  /** How many entries were looked at, again and again. */
  readonly onProgress?: ((entries: number) => Effect.Effect<void>) | undefined
}

/** A key that checkpoints are signed with, as others may know it. */
export interface CheckpointKey {
  readonly id: string
  /** Ed25519, 32 bytes as base64url: the `x` of a JWK. */
  readonly publicKey: string
}

const everything: AuditFilter = {
  from: null,
  to: null,
  text: "",
  action: null,
  actorKinds: [],
  actorId: null,
  subjectKind: null,
  subjectId: null,
  outcome: null
}

export class AuditLog extends Context.Service<
  AuditLog,
  {
    /** The newest first. Reading is recorded too, once for each search and not for its further pages. */
    list(
      organizationId: OrganizationId,
      query: AuditQuery
    ): Effect.Effect<
      { readonly items: ReadonlyArray<AuditEntry>; readonly nextCursor: string | null },
      InvalidCursor,
      Actor
    >
    /** One by its number, as links name it. Recorded too. */
    get(organizationId: OrganizationId, seq: number): Effect.Effect<AuditEntry, AuditEntryNotFound, Actor>
    /** The actions that occur, for filters. */
    actions(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<string>>
    /**
     * Walks the whole chain: finds any entry that was changed, that is missing, or that changed its place. Without an
     * organization, the chain of the installation, where entries of nobody are. A node walks one chain at a time;
     * whoever asks while theirs is walked gets the same verdict.
     */
    verify(organizationId: OrganizationId | null, options?: Verification): Effect.Effect<AuditVerdict, never, Actor>
    /** Lines of text, the oldest first, with what it takes to check the chain without the broker. Recorded. */
    export(
      organizationId: OrganizationId | null,
      filter: AuditFilter,
      format: AuditExportFormat
    ): Stream.Stream<string, never, Actor>
    /** Signs the end of each chain that has grown; tells how many. */
    readonly checkpoint: Effect.Effect<number>
    /** The newest signed end of a chain, to be kept where nobody can reach both. */
    newestCheckpoint(organizationId: OrganizationId | null): Effect.Effect<Option.Option<string>>
    /** What checkpoints are checked with, the oldest first. */
    readonly keys: Effect.Effect<ReadonlyArray<CheckpointKey>>
    /** Deletes what is past its organization's retention, without breaking the chain; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/audit/AuditLog") {
  static readonly layerNoDeps = Layer.effect(
    AuditLog,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* AuditLogSql.make
      const encryption = yield* Encryption
      const secrets = yield* Secrets
      const audit = yield* Audit
      const policy = yield* AuditPolicy
      const scope = yield* Effect.scope
      const turns = yield* Semaphore.make(1)
      const walks = new Map<string, Deferred.Deferred<AuditVerdict>>()

      const record = (
        organizationId: OrganizationId | null,
        action: `audit-log:${string}`,
        details: Readonly<Record<string, string | number | boolean | null | ReadonlyArray<string>>>
      ) => audit.record({ organizationId, action, subjectKind: "audit-log", subjectId: null, details })

      const list = Effect.fn("AuditLog.list")(
        function* (organizationId: OrganizationId, query: AuditQuery) {
          const before = yield* decodeCursor(query.cursor)
          const rows = yield* statements.list({
            chain: organizationId,
            filter: query,
            before,
            limit: query.limit + 1
          })
          if (before === null) yield* record(organizationId, "audit-log:read", asked(query))
          const items = rows.slice(0, query.limit)
          const last = items.at(-1)
          return {
            items,
            nextCursor: rows.length > query.limit && last !== undefined ? encodeCursor(last.seq) : null
          }
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const get = Effect.fn("AuditLog.get")(
        function* (organizationId: OrganizationId, seq: number) {
          const [entry] = yield* statements.list({
            chain: organizationId,
            filter: everything,
            before: seq + 1,
            limit: 1
          })
          if (entry?.seq !== seq) return yield* new AuditEntryNotFound()
          yield* record(organizationId, "audit-log:read", { entry: seq })
          return entry
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const actions = Effect.fn("AuditLog.actions")(
        (organizationId: OrganizationId) =>
          Effect.map(statements.actions(organizationId), (rows) => rows.map(({ action }) => action)),
        Effect.orDie
      )

      /** Keys as the database has them, and whether each is one that this broker has made. */
      const ring = Effect.gen(function* () {
        const rows = yield* statements.keys()
        return yield* Effect.forEach(rows, ({ id, privateKey, publicKey }) =>
          encryption.open(Checkpoints.place(id), privateKey).pipe(
            Effect.map((secret) => Checkpoints.signer(id, publicKey, secret)),
            // Nobody but us could have sealed it: whoever added a key to sign a chain of their own is found out.
            Effect.catchDefect(() => Effect.succeedNone),
            Effect.map((signer) => ({ id, publicKey, signer }))
          )
        )
      })

      /** The key that signs; the first is made when there is none. */
      const signing = Effect.gen(function* () {
        yield* statements.lockKeys
        const newest = (yield* ring).findLast(({ signer }) => Option.isSome(signer))
        if (newest !== undefined && Option.isSome(newest.signer)) return newest.signer.value
        const id = yield* secrets.id
        const made = Checkpoints.generate(id)
        yield* statements.insertKey({
          id,
          publicKey: made.publicKey,
          privateKey: yield* encryption.seal(Checkpoints.place(id), made.secret),
          createdAt: yield* DateTime.now
        })
        yield* audit.record({
          organizationId: null,
          action: "audit-log:make-key",
          subjectKind: "signing-key",
          subjectId: id,
          details: { publicKey: Buffer.from(made.publicKey).toString("base64url") }
        })
        return made.signer
      }).pipe(Effect.provideService(Actor, broker))

      const sign = Effect.fnUntraced(function* (
        signer: Checkpoints.Signer,
        end: { readonly organizationId: string; readonly seq: number; readonly hash: string }
      ) {
        const at = yield* DateTime.now
        const jws = yield* Checkpoints.sign(signer, { org: end.organizationId, seq: end.seq, hash: end.hash, at })
        yield* statements.insertCheckpoint({ ...end, at, keyId: signer.id, jws })
      })

      const checkpoint = Effect.gen(function* () {
        const grown = yield* statements.grown({ limit: policy.checkpointsPerRun })
        if (grown.length === 0) return 0
        const signer = yield* signing
        yield* Effect.forEach(grown, (end) => sign(signer, end), { discard: true })
        return grown.length
      }).pipe(sql.withTransaction, Effect.orDie, Effect.withSpan("AuditLog.checkpoint"))

      const newestCheckpoint = Effect.fn("AuditLog.newestCheckpoint")(
        (organizationId: OrganizationId | null) =>
          Effect.map(
            statements.newestCheckpoint(AuditLogSql.chainId(organizationId)),
            Option.map(({ jws }) => jws)
          ),
        Effect.orDie
      )

      const keys = statements.keys().pipe(
        Effect.map((rows) =>
          rows.map(({ id, publicKey }) => ({ id, publicKey: Buffer.from(publicKey).toString("base64url") }))
        ),
        Effect.orDie,
        Effect.withSpan("AuditLog.keys")
      )

      /** Whether suspects only stand in each other's places, or were changed. */
      const judge = Effect.fnUntraced(function* (chain: AuditLogSql.Chain, seqs: ReadonlyArray<number>) {
        if (seqs.length === 0) return []
        const known = yield* statements.suspects({ chain, seqs: seqs.slice(0, policy.suspects) })
        const hashes = [
          ...new Set(known.flatMap(({ hash, previous }) => (previous === null ? [hash] : [hash, previous])))
        ]
        const belongs = ({ hash: own, rest, seq }: (typeof known)[number]) =>
          known.find((other) =>
            hashes.some((previous) => {
              const text = `["${previous}", ${other.seq}, ${rest.slice(1)}`
              const made = hash("sha256", text, "hex")
              return made === own || (made === other.hash && other.seq !== seq)
            })
          )
        const places = new Map(known.map((suspect) => [suspect.seq, belongs(suspect)?.seq]))
        const moved = [...places].some(([seq, place]) => place !== undefined && place !== seq)
        return seqs.flatMap((seq): ReadonlyArray<AuditFault> => {
          const place = places.get(seq)
          if (place !== undefined && place !== seq) {
            return [{ seq, kind: "reordered", detail: `What stands here belongs at ${place}.` }]
          }
          // What follows an entry that stands elsewhere is itself as it was.
          if (place === seq && moved) return []
          return [
            { seq, kind: "changed", detail: "The entry does not have the hash that it was given, or follows another." }
          ]
        })
      })

      const walk = Effect.fnUntraced(function* (
        chain: AuditLogSql.Chain,
        head: typeof AuditLogSql.Head.Type,
        onProgress: (entries: number) => Effect.Effect<void>
      ) {
        const faults: Array<AuditFault> = []
        const suspects: Array<number> = []
        let entries = 0
        let seq = head.firstSeq - 1
        let previous = head.anchor
        while (true) {
          const links = yield* statements.links({ chain, after: seq, previous, limit: policy.batch })
          for (const link of links) {
            const gap = link.seq - seq - 1
            if (gap > 0) {
              faults.push({
                seq: seq + 1,
                kind: "missing",
                detail: gap === 1 ? "The entry is missing." : `${gap} entries are missing.`
              })
            } else if (!link.sound) {
              suspects.push(link.seq)
            }
            seq = link.seq
            previous = link.hash
          }
          entries += links.length
          yield* onProgress(entries)
          if (links.length < policy.batch) break
        }
        if (seq < head.seq) {
          const lost = head.seq - seq
          faults.push({
            seq: seq + 1,
            kind: "missing",
            detail: lost === 1 ? "The newest entry is missing." : `The newest ${lost} entries are missing.`
          })
        } else if (seq > head.seq) {
          faults.push({ seq: head.seq + 1, kind: "changed", detail: "The chain goes on behind its recorded end." })
        } else if (previous !== head.hash) {
          faults.push({ seq, kind: "changed", detail: "The recorded end of the chain has another hash." })
        }
        const { entries: unsealed } = yield* statements.unsealed(chain)
        if (unsealed > 0) {
          faults.push({
            seq: head.seq + 1,
            kind: "changed",
            detail: `${unsealed} entries were added beside the chain.`
          })
        }
        return { entries, last: seq, hash: previous, faults: [...(yield* judge(chain, suspects)), ...faults] }
      })

      const judged = (organizationId: OrganizationId | null, { checkpoint: kept, onProgress }: Verification) =>
        Effect.gen(function* () {
          const id = AuditLogSql.chainId(organizationId)
          yield* sql`set transaction isolation level repeatable read`
          const none = "0".repeat(64)
          const known = yield* statements.head(id)
          const head = Option.getOrElse(known, () => ({ seq: 0, hash: none, firstSeq: 1, anchor: none }))
          const chain = yield* walk(organizationId, head, onProgress ?? (() => Effect.void))
          const faults = [...chain.faults]
          const held = yield* ring
          let count = 0
          let lastAt: DateTime.Utc | null = null
          let covered = head.firstSeq === 1
          let after = 0
          while (true) {
            const rows = yield* statements.checkpoints({ chain: organizationId, after, limit: policy.batch })
            for (const row of rows) {
              const fault = yield* Checkpoints.judge(row.jws, held, id)
              const said = fault.claims
              const wrong =
                fault.wrong ??
                (said === undefined || said.seq !== row.seq || said.hash !== row.hash
                  ? "It does not say what its row says."
                  : Checkpoints.contradiction(said, head, row.entryHash))
              if (wrong !== undefined) faults.push({ seq: row.seq, kind: "checkpoint", detail: wrong })
              else if (row.seq === head.firstSeq - 1) covered = true
              count += 1
              lastAt = row.at
              after = row.seq
            }
            if (rows.length < policy.batch) break
          }
          if (!covered) {
            faults.push({
              seq: head.firstSeq,
              kind: "checkpoint",
              detail: "Entries before this one are gone, and no checkpoint tells that the broker deleted them."
            })
          }
          if (kept !== undefined) {
            const { claims, wrong } = yield* Checkpoints.judge(kept.trim(), held, id)
            const entry =
              claims === undefined
                ? Option.none()
                : yield* statements.hashAt({ chain: organizationId, seq: claims.seq })
            const detail =
              wrong ??
              (claims === undefined
                ? undefined
                : Checkpoints.contradiction(claims, head, Option.getOrNull(Option.map(entry, ({ hash }) => hash))))
            if (detail !== undefined) {
              faults.push({ seq: claims?.seq ?? 0, kind: "checkpoint", detail: `The one kept elsewhere: ${detail}` })
            }
          }
          return {
            intact: faults.length === 0,
            entries: chain.entries,
            first: chain.entries === 0 ? null : head.firstSeq,
            last: chain.entries === 0 ? null : chain.last,
            hash: Option.isNone(known) && chain.entries === 0 ? null : chain.hash,
            checkpoints: count,
            lastCheckpointAt: lastAt,
            faults: faults.toSorted((one, other) => one.seq - other.seq).slice(0, 100)
          } satisfies AuditVerdict
        }).pipe(sql.withTransaction, Effect.orDie, turns.withPermits(1))

      /** One walk for all who ask at the same time; it goes on when whoever asked first is gone. */
      const shared = (organizationId: OrganizationId | null) =>
        Effect.suspend(() => {
          const id = AuditLogSql.chainId(organizationId)
          const running = walks.get(id)
          if (running !== undefined) return Deferred.await(running)
          const verdict = Deferred.makeUnsafe<AuditVerdict>()
          walks.set(id, verdict)
          return judged(organizationId, {}).pipe(
            Effect.onExit((exit) =>
              Effect.suspend(() => {
                walks.delete(id)
                return Deferred.done(verdict, exit)
              })
            ),
            Effect.forkIn(scope),
            Effect.andThen(Deferred.await(verdict))
          )
        })

      const verify = Effect.fn("AuditLog.verify")(function* (
        organizationId: OrganizationId | null,
        options: Verification = {}
      ) {
        const isOwn = options.checkpoint !== undefined || options.onProgress !== undefined
        const found = yield* isOwn ? judged(organizationId, options) : shared(organizationId)
        yield* record(organizationId, "audit-log:verify", {
          intact: found.intact,
          entries: found.entries,
          last: found.last,
          hash: found.hash,
          faults: found.faults.length
        })
        return found
      }, Effect.orDie)

      const exported = (organizationId: OrganizationId | null, filter: AuditFilter, format: AuditExportFormat) =>
        Stream.unwrap(
          Effect.gen(function* () {
            const id = AuditLogSql.chainId(organizationId)
            yield* record(organizationId, "audit-log:export", { ...asked(filter), format })
            const head = Option.getOrUndefined(yield* statements.head(id))
            const until = head?.seq ?? 0
            const entries = Stream.paginate((head?.firstSeq ?? 1) - 1, (after: number) =>
              Effect.map(
                statements.proven({ chain: organizationId, filter, after, until, limit: policy.batch }),
                (rows) => {
                  const last = rows.at(-1)
                  return [
                    rows,
                    rows.length < policy.batch || last === undefined ? Option.none() : Option.some(last.seq)
                  ]
                }
              )
            ).pipe(Stream.orDie)
            const trailer = Effect.gen(function* () {
              const newest = yield* statements.newestCheckpoint(id)
              const published = yield* keys
              return Option.map(newest, ({ jws, keyId }) => ({
                jws,
                publicKey: published.find((key) => key.id === keyId)?.publicKey ?? null
              }))
            }).pipe(Effect.orDie)
            return AuditExport.lines(format, entries, trailer)
          }).pipe(Effect.orDie, Effect.withSpan("AuditLog.export"))
        )

      /** One batch of one organization: the end of what goes is signed, and stays as the anchor of the rest. */
      const pruneOne = Effect.fnUntraced(function* (chain: AuditLogSql.Chain, days: number) {
        const before = DateTime.subtract(yield* DateTime.now, { days })
        const id = AuditLogSql.chainId(chain)
        const head = Option.getOrUndefined(yield* statements.lockHead(id))
        if (head === undefined) return 0
        const past = yield* statements.past({ chain, firstSeq: head.firstSeq, before, limit: policy.pruneBatch })
        if (Option.isNone(past)) return 0
        const end = { organizationId: id, ...past.value }
        yield* sign(yield* signing, end)
        yield* statements.moveFirst(end)
        const gone = (yield* statements.deleteUpTo({ chain, seq: end.seq })).reduce((sum, row) => sum + row.gone, 0)
        yield* record(chain, "audit-log:prune", { entries: gone, upTo: end.seq, hash: end.hash })
        return gone
      }, sql.withTransaction)

      const prune = Effect.gen(function* () {
        const retentions = yield* statements.retentions()
        const gone = yield* Effect.forEach(retentions, ({ days, organizationId }) =>
          pruneOne(OrganizationId.make(organizationId), days)
        )
        gone.push(yield* pruneOne(null, policy.installationRetentionDays))
        yield* statements.thinCheckpoints(DateTime.subtractDuration(yield* DateTime.now, policy.allCheckpointsFor))
        return gone.reduce((sum, entries) => sum + entries, 0)
      }).pipe(Effect.provideService(Actor, broker), Effect.orDie, Effect.withSpan("AuditLog.prune"))

      return AuditLog.of({
        list,
        get,
        actions,
        verify,
        export: exported,
        checkpoint,
        newestCheckpoint,
        keys,
        prune
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Secrets.layer))
}

const SeqFromText = Schema.fromJsonString(Schema.Int)

const encodeCursor = (seq: number) => Base64Url.encode(String(seq))

const decodeCursor = (cursor: string | null) =>
  cursor === null
    ? Effect.succeed(null)
    : Effect.fromResult(Base64Url.decodeString(cursor)).pipe(
        Effect.flatMap((text) => Schema.decodeEffect(SeqFromText)(text)),
        Effect.mapError(() => new InvalidCursor())
      )

/** What of a search is recorded: whatever was asked for. */
const asked = (filter: AuditFilter) => ({
  ...(filter.from === null ? {} : { from: DateTime.formatIso(filter.from) }),
  ...(filter.to === null ? {} : { to: DateTime.formatIso(filter.to) }),
  ...(filter.text.trim() === "" ? {} : { text: filter.text.trim() }),
  ...(filter.action === null ? {} : { action: filter.action }),
  ...(filter.actorKinds.length === 0 ? {} : { actorKinds: filter.actorKinds }),
  ...(filter.actorId === null ? {} : { actorId: filter.actorId }),
  ...(filter.subjectKind === null ? {} : { subjectKind: filter.subjectKind }),
  ...(filter.subjectId === null ? {} : { subjectId: filter.subjectId }),
  ...(filter.outcome === null ? {} : { outcome: filter.outcome })
})
