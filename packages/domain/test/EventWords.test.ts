import { describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { expect } from "vitest"
import { Event, type EventType, events, eventTypes } from "../src/Event.ts"
import { eventNouns, messageOf, nounOf, severityOf, verbOf } from "../src/EventWords.ts"

const id = "01990000-0000-7000-8000-000000000001"
const decode = Schema.decodeUnknownSync(Event)

const event = (type: EventType, data: unknown, name: string | null = "fra-1") =>
  decode({
    id,
    type,
    version: 1,
    at: "2026-11-23T10:00:00.000Z",
    place: "7",
    subject: { kind: "server", id, name },
    data
  })

const named = (name: string) => ({ id, name })
const moved = (before: string | null, after: string, reason: string | null = null) => ({
  server: named("fra-1"),
  group: null,
  before,
  after,
  reason
})
const connection = (fields: Record<string, unknown> = {}) => ({
  user: named("Ada"),
  device: named("laptop"),
  server: named("fra-1"),
  group: null,
  status: "ended",
  createdAt: "2026-11-23T09:00:00.000Z",
  startedAt: null,
  endedAt: null,
  endedBy: null,
  reason: null,
  rxBytes: null,
  txBytes: null,
  verdict: null,
  ...fields
})

describe("events in words", () => {
  it.each([
    ["server.registered", moved(null, "pending"), "fra-1 joined and waits for approval"],
    ["server.admission_changed", moved("approved", "suspended", "forked"), /^fra-1 was suspended: two machines/],
    [
      "server.liveness_changed",
      moved("online", "offline", "missed_heartbeats"),
      "fra-1 went offline: heartbeats missed"
    ],
    ["server.liveness_changed", moved("offline", "online", "recovered"), "fra-1 is back online"],
    ["server.duty_changed", moved("serving", "draining"), "fra-1 is draining"],
    ["server.verification_changed", moved("verified", "unverified"), "fra-1 is no longer verified"],
    [
      "server.updated",
      { server: named("fra-1"), group: null, changed: ["tags", "version", "publicKey"] },
      "fra-1 changed its tags, version and key"
    ],
    ["connection.created", connection(), "Ada is on the way to fra-1 with laptop"],
    ["connection.started", connection(), "Ada is connected to fra-1 with laptop"],
    [
      "connection.ended",
      connection({ reason: "key_revoked" }),
      "Ada is no longer connected to fra-1: the personal key was revoked"
    ],
    ["connection.refused", connection({ reason: "server_refused" }), "fra-1 refused Ada"],
    [
      "connection.settled",
      connection({ rxBytes: 1_536, txBytes: 10, verdict: "confirmed" }),
      "The account of Ada on fra-1 is settled: 1.5 KiB received, 10 B sent, both sides count alike"
    ],
    [
      "fleet_guard.began",
      { expected: 100, seen: 60, held: 40, cause: "group", causeDetail: "eu", end: null, endedBy: null },
      "40 of 100 servers fell silent at once, and are held as unknown: they share a group, eu"
    ],
    [
      "security_event.raised",
      { kind: "challenge_failed", severity: "critical", server: named("fra-1"), address: "203.0.113.7", details: {} },
      "A challenge was signed with the wrong key by fra-1 from 203.0.113.7"
    ],
    [
      "webhook.paused",
      { webhook: named("tickets"), because: "failing", problem: "503" },
      "The broker paused the webhook tickets: 503"
    ],
    [
      "audit.recorded",
      {
        entry: 3,
        action: "servers:suspend",
        actor: { kind: "admin", id: null, name: "ada" },
        subjectKind: "server",
        details: {}
      },
      "ada suspended a server: fra-1"
    ]
  ] as const)("tells %s", (type, data, words) => {
    expect(messageOf(event(type, data))).toMatch(words)
  })

  it.each(eventTypes)("has a title for %s", (type) => {
    expect(eventNouns[nounOf(type)]).toBeDefined()
    expect(verbOf(type)).toMatch(/^[A-Z][a-z ]+$/)
  })

  for (const type of eventTypes) {
    it.prop(
      `has words for ${type}, whatever it says`,
      { event: Arbitrary.schema(events[type]) },
      ({ event }) => {
        const words = messageOf(event)
        expect(words).toMatch(/\w/)
        expect(words).not.toMatch(/undefined|\[object|NaN/)
      },
      { arbitrary: { runs: 20 } }
    )
  }

  it("knows how grave it is where the broker says so, and nowhere else", () => {
    const alarm = { kind: "server_forked", severity: "high", server: null, address: null, details: {} }
    expect(severityOf(event("security_event.raised", alarm))).toBe("high")
    expect(severityOf(event("server.duty_changed", moved("serving", "draining")))).toBeNull()
  })
})
