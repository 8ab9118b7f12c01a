import { describe, expect, it } from "vitest"
import { meterOf, wordsOf } from "../src/lib/meter.ts"
import { bytes, plural } from "../src/lib/numbers.ts"
import { fingerprint } from "../src/lib/sha256.ts"
import { isLocalHost, landing } from "../src/lib/sign-in.ts"
import { explainStatus } from "../src/lib/silence.ts"
import { moveVerb, reasonWords } from "../src/lib/status.ts"

describe("words", () => {
  it("tells moves as sentences", () => {
    expect(moveVerb({ axis: "liveness", before: "online", after: "offline" })).toBe("went offline")
    expect(moveVerb({ axis: "liveness", before: "never_seen", after: "online" })).toBe("sent its first heartbeat")
    expect(moveVerb({ axis: "admission", before: "suspended", after: "approved" })).toBe("was approved again")
    expect(moveVerb({ axis: "duty", before: "draining", after: "serving" })).toBe("serves again")
  })

  it("keeps what an admin typed, and reads codes it does not know", () => {
    expect(reasonWords("Reported for abuse")).toBe("Reported for abuse")
    expect(reasonWords("some_new_reason")).toBe("some new reason")
    expect(reasonWords("clock_skew")).toBe("its clock is more than 2 minutes off")
  })

  it("counts missed heartbeats", () => {
    const standing = { status: "offline", reason: "missed_heartbeats", lastSeenAt: 0, intervalSeconds: 30 } as const
    expect(explainStatus(standing, 150_000)).toBe("No heartbeat for 2 min, 5 missed")
  })

  it("counts things and bytes", () => {
    expect(plural(1, "server")).toBe("1 server")
    expect(plural(1_200, "server")).toBe("1,200 servers")
    expect(bytes(0)).toBe("0 B")
    expect(bytes(1_536)).toBe("1.5 KiB")
    expect(bytes(64 * 2 ** 30)).toBe("64 GiB")
  })

  it("shows how hard a password is to guess", () => {
    const judged = (score: number) => ({ password: "", score, advice: ["Add another word."] })
    expect(wordsOf("Ada Lovelace-X")).toEqual(["ada lovelace-x", "adalovelacex", "ada", "lovelace"])
    expect(meterOf("", null).steps).toBe(0)
    expect(meterOf("short", judged(4))).toMatchObject({ steps: 1, tone: "bad", word: "7 more to go" })
    expect(meterOf("x".repeat(24), null).word).toBe("Long enough")
    expect(meterOf("x".repeat(24), judged(1))).toMatchObject({ tone: "bad", advice: ["Add another word."] })
    expect(meterOf("x".repeat(24), judged(3))).toMatchObject({ tone: "ok", word: "Good", advice: [] })
  })
})

describe("sign-in", () => {
  it.each([
    ["/servers?q=fra", "/servers?q=fra"],
    [null, "/"],
    ["//evil.example", "/"],
    ["/\\evil.example", "/"],
    ["https://evil.example", "/"],
    ["javascript:alert(1)", "/"]
  ])("lands %j at %s", (to, at) => {
    expect(landing(to)).toBe(at)
  })

  it("knows the hosts that keep cookies without https", () => {
    expect(["localhost", "127.0.0.1", "[::1]", "a.localhost"].every(isLocalHost)).toBe(true)
    expect(["10.0.0.1", "broker.local", "127.0.0.1.example"].some(isLocalHost)).toBe(false)
  })
})

describe("fingerprints", () => {
  it("is the SHA-256 of the raw key, as ssh writes it", () => {
    expect(fingerprint("")).toBe("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU")
    expect(fingerprint("YWJj")).toBe("SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0")
  })

  it("takes text longer than one block", () => {
    const long = Buffer.from("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").toString("base64url")
    expect(fingerprint(long)).toBe("SHA256:JI1qYdIGOLjlwCaTDD5gOaM85Flk/yFn9uzt1BnbBsE")
  })
})
