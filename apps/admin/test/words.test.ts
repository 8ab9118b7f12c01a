import { describe, expect, it } from "vitest"
import { bytes, plural } from "../src/lib/numbers.ts"
import { fingerprint } from "../src/lib/sha256.ts"
import { isLocalHost, landing } from "../src/lib/sign-in.ts"
import { explainStatus } from "../src/lib/silence.ts"
import { moveVerb, reasonWords } from "../src/lib/status.ts"
import { strength } from "../src/routes/setup/password.ts"

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

  it("judges passwords by their length", () => {
    expect(strength("").score).toBe(0)
    expect(strength("short")).toEqual({ score: 1, word: "7 more to go" })
    expect(strength("x".repeat(12)).score).toBe(2)
    expect(strength("x".repeat(24))).toEqual({ score: 4, word: "Strong" })
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
