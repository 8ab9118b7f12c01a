import { LedgerConnection } from "@broker/domain/Connection"
import { DateTime, Schema } from "effect"
import { describe, expect, it } from "vitest"
import { explainVerdict, happenings, secondsToCut } from "../src/routes/(app)/connections/[id]/account.ts"
import { changed, parseView, toggled, toQuery, viewSearch } from "../src/routes/(app)/connections/filters.ts"

const read = (search: string) => parseView(new URLSearchParams(search))
const id = (last: number) => `01936b3e-0000-7000-9000-00000000000${last}`

describe("connections in the URL", () => {
  it("is short for the default view", () => {
    expect(viewSearch(read(""))).toBe("")
  })

  it("comes back as it was written", () => {
    const search = `?scope=over&q=a%20%26%20b&status=ended,refused&verdict=client_only&reason=key_revoked,said%20bye&user=${id(1)}&server=${id(2)}&limit=100&after=a%3D%3D`
    expect(viewSearch(read(search))).toBe(search)
  })

  it("ignores what makes no sense, and what the scope cannot hold", () => {
    expect(read("status=ended,active,nonsense&user=nobody&limit=7&scope=some")).toEqual({
      ...read(""),
      standings: ["active"]
    })
  })

  it("asks for stale ones as those that are active", () => {
    expect(toQuery(read("status=stale,intent"))).toMatchObject({ statuses: ["active"], stale: true })
    expect(toggled(["active", "intent"], "stale")).toEqual(["stale"])
    expect(toggled(["stale"], "active")).toEqual(["active"])
  })

  it("drops what only those that are over have when it goes back to live ones", () => {
    const view = read("scope=over&verdict=confirmed&status=ended&after=x")
    expect(changed(view, { scope: "live" })).toMatchObject({ verdicts: [], standings: [], cursor: null })
  })
})

const at = (seconds: number) => DateTime.formatIso(DateTime.makeUnsafe(Date.UTC(2026, 10, 23, 12) + seconds * 1_000))

const connection = (fields: Partial<typeof LedgerConnection.json.Encoded> = {}) =>
  Schema.decodeUnknownSync(LedgerConnection.json)({
    id: id(1),
    status: "ended",
    userId: id(2),
    userName: "Grace",
    deviceId: id(3),
    deviceName: "laptop",
    platform: "linux",
    personalKeyId: id(4),
    personalKeyName: "key",
    serverId: id(5),
    serverName: "fra-1",
    clientAddress: null,
    createdAt: at(0),
    expiresAt: at(60),
    grantExpiresAt: at(120),
    activeAt: at(1),
    staleSince: null,
    endedAt: at(100),
    endedBy: "client",
    endReason: "client_closed",
    rxBytes: null,
    txBytes: null,
    rttMs: null,
    lossRatio: null,
    clientOpenedAt: at(2),
    clientReportedAt: at(100),
    clientEndedAt: at(100),
    clientReason: "client_closed",
    clientRxBytes: 1_000_000,
    clientTxBytes: 0,
    serverReportedAt: at(101),
    serverEndedAt: at(101),
    serverReason: "client_left",
    serverRxBytes: 0,
    serverTxBytes: 1_000_000,
    verdict: "confirmed",
    settledAt: at(101),
    cutOrderedAt: null,
    cutOrderedBy: null,
    cutConfirmedAt: null,
    ...fields
  })

describe("both accounts of a connection", () => {
  it("tells what happened in order, and who ended it before that it was over", () => {
    expect(happenings(connection()).map(({ side, words }) => `${side}: ${words}`)).toEqual([
      "client: Asked for a connection",
      "broker: Granted fra-1",
      "server: Accepted it",
      "client: First word",
      "client: Told its end",
      "broker: Over",
      "server: Told its end",
      "broker: Settled"
    ])
  })

  it("tells a cut, and how long the server took", () => {
    const cut = connection({
      endedBy: "admin",
      endReason: "admin_disconnected",
      cutOrderedAt: at(100),
      cutOrderedBy: "ada",
      cutConfirmedAt: at(103.5)
    })
    expect(secondsToCut(cut)).toBe(3.5)
    expect(happenings(cut).map(({ detail, words }) => [words, detail])).toEqual(
      expect.arrayContaining([
        ["Ordered to cut", "by ada"],
        ["Confirmed the cut", "after 3.5 s"]
      ])
    )
  })

  it("explains each verdict", () => {
    expect(explainVerdict(connection())).toBe("Both sides told its end, and count the same to the byte.")
    expect(explainVerdict(connection({ verdict: "byte_mismatch", serverTxBytes: 2_000_000 }))).toContain(
      "client received 977 KiB where the server sent 1.9 MiB, 977 KiB (50 %) apart"
    )
    expect(explainVerdict(connection({ verdict: "client_only", serverEndedAt: null }))).toContain(
      "the server never did"
    )
    expect(explainVerdict(connection({ verdict: "server_only", clientEndedAt: null }))).toContain(
      "the client never did"
    )
    expect(explainVerdict(connection({ verdict: null, clientEndedAt: null, settledAt: null }))).toContain(
      "waits for the client's account"
    )
    expect(
      explainVerdict(connection({ verdict: null, status: "expired", activeAt: null, clientEndedAt: null }))
    ).toContain("nothing to judge")
  })
})
