/** Servers with keys and tokens: put into the database, as registering thousands is a scenario of its own. */
import { randomBytes, randomUUID } from "node:crypto"
import { digestOf } from "@broker/core/crypto/Secrets"
import { format, secretBytes } from "@broker/domain/Credential"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as TestServer from "@broker/testing/TestServer"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { heartbeat, type Identity, identity } from "../../apps/broker/test/wire/Gateway.ts"
import type { Http } from "./Http.ts"
import type { Recorder } from "./Recorder.ts"
import { until } from "./time.ts"

/** A server as it remembers itself. */
export interface Member {
  readonly id: string
  readonly token: string
  readonly identity: Identity
  readonly bootId: string
  seq: number
}

const groups = 20

const made = (n: number) => {
  const id = randomUUID()
  // The id in a server's token is the server's own.
  const token = format("serverToken", id, randomBytes(secretBytes))
  const by = identity()
  return {
    member: { id, token: Redacted.value(token), identity: by, bootId: randomUUID(), seq: 0 } satisfies Member,
    row: {
      id,
      tokenId: randomUUID(),
      name: `server-${String(n).padStart(6, "0")}`,
      publicKey: Buffer.from(by.publicKey, "base64url").toString("hex"),
      digest: Buffer.from(digestOf(token), "base64url").toString("hex"),
      area: n % groups
    }
  }
}

/** Puts so many servers into the database, in 20 groups, verified and serving. */
export const seed = (database: Redacted.Redacted, count: number): Promise<ReadonlyArray<Member>> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        insert into groups (id, organization_id, name, name_key, created_at)
        select md5('area-' || n)::uuid, ${defaultOrganizationId}::uuid, 'area-' || n, 'area-' || n, now()
          from generate_series(0, ${groups - 1}::int) as n`
      const members: Array<Member> = []
      for (let from = 0; from < count; from += 500) {
        const part = Array.from({ length: Math.min(500, count - from) }, (_, at) => made(from + at))
        const rows = JSON.stringify(part.map(({ row }) => row))
        yield* sql`
          with given as (
            select * from jsonb_to_recordset(${rows}::text::jsonb) as r (
              id uuid, "tokenId" uuid, name text, "publicKey" text, digest text, area int)
          ), joined as (
            insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since,
                                 public_key, verified_at, version, endpoints, capabilities, tags, labels, location,
                                 registered_at, group_id)
            select id, ${defaultOrganizationId}::uuid, name, name, 'approved', now(), 'serving', now(),
                   decode("publicKey", 'hex'), now(), '1.4.' || area,
                   '[{"protocol": "webrtc", "host": "203.0.113.7", "port": 51820}]', '{"vpn": {"ipv6": true}}',
                   array['region-' || area, case area % 2 when 0 then 'even' else 'odd' end], jsonb_build_object('rack', 'r' || area),
                   jsonb_build_object('latitude', area * 5 - 50, 'longitude', area * 15 - 150), now(),
                   md5('area-' || area)::uuid
              from given
          ), known as (
            insert into server_keys (public_key, server_id, state, created_at)
            select decode("publicKey", 'hex'), id, 'current', now() from given
          ), admitted as (
            insert into server_tokens (id, server_id, digest, created_at, first_used_at)
            select "tokenId", id, decode(digest, 'hex'), now(), now() from given
          )
          insert into server_presence (server_id, liveness, liveness_since, last_seen_at)
          select id, 'online', now(), now() from given`
        members.push(...part.map(({ member }) => member))
      }
      yield* sql`analyze`
      return members
    }).pipe(Effect.provide(TestServer.connect(database)))
  )

interface Told {
  readonly challenge: { readonly id: string; readonly nonce: string; readonly expiresAt: string } | null
  readonly heartbeatIntervalSeconds?: number
}

/** Proves a server's key when it is asked to. */
export const prove = async (
  http: Http,
  recorder: Recorder,
  audience: string,
  { id: serverId, identity, token }: Pick<Member, "id" | "identity" | "token">,
  { expiresAt, id, nonce }: NonNullable<Told["challenge"]>
) => {
  const from = performance.now()
  const signature = identity.sign("broker-challenge-v1", audience, serverId, id, nonce, expiresAt)
  const answer = await http.ask("POST", `/api/v1/servers/self/challenges/${id}`, { bearer: token, body: { signature } })
  recorder.note("proof", from, answer)
}

/** One heartbeat with the metrics of the agent. */
export const beat = async (http: Http, recorder: Recorder, audience: string, member: Member, due: number) => {
  member.seq += 1
  const { bootId, seq } = member
  const body = heartbeat({
    bootId,
    seq,
    activeConnections: 7,
    metrics: {
      cpu: (seq % 100) / 100,
      memoryUsedBytes: 4_000_000_000 + seq,
      memoryTotalBytes: 8_589_934_592,
      rxBytes: seq * 1_234_567,
      txBytes: seq * 7_654_321,
      load1: (seq % 40) / 10,
      uptimeSeconds: 86_400 + seq,
      rttMs: seq % 60
    }
  })
  const answer = await http.ask("POST", "/api/v1/servers/self/heartbeat", { bearer: member.token, body })
  recorder.note("heartbeat", due, answer)
  if (answer.status !== 200) return answer
  const { challenge } = JSON.parse(answer.text) as Told
  if (challenge !== null) await prove(http, recorder, audience, member, challenge)
  return answer
}

/** A fleet that beats evenly, each server at its own moment of the interval, until it is over. */
export const live = (
  http: Http,
  recorder: Recorder,
  audience: string,
  members: ReadonlyArray<Member>,
  intervalSeconds: number,
  end: number
) =>
  Promise.all(
    members.map(async (member, at) => {
      let due = performance.now() + (at / members.length) * intervalSeconds * 1_000
      while (due < end) {
        await until(due)
        await beat(http, recorder, audience, member, due)
        due += intervalSeconds * 1_000
      }
    })
  )
