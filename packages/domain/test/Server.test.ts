import { Heartbeat, Metrics } from "@broker/domain/Heartbeat"
import { Base64UrlBytes, Timestamp } from "@broker/domain/Primitives"
import { Registration } from "@broker/domain/Registration"
import { Capabilities, Labels, nameKey, PublicKey, ServerName, Tag, Tags } from "@broker/domain/Server"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { sentName } from "./arbitraries.ts"

const isSentName = Schema.is(Registration.fields.name)

describe("ServerName", () => {
  it.each([
    ["nothing", ""],
    ["only spaces", "   "],
    ["65 characters", "a".repeat(65)],
    ["a line feed", "fra\n1"],
    ["a line feed at the end", "fra-1\n"],
    ["a carriage return", "fra\r1"],
    ["a tab", "fra\t1"],
    ["NUL", "fra\u0000"],
    ["DEL", "fra\u007f"],
    ["a right-to-left override", "fra\u202e1"],
    ["a zero-width space", "fra\u200b1"],
    ["a byte order mark", "\ufefffra"],
    ["a line separator", "fra\u20281"],
    ["a paragraph separator", "fra\u20291"],
    ["half a surrogate pair", "fra\ud800"],
    ["an unassigned character", "fra\u{e0080}"]
  ])("B3 with %s is refused", (_, name) => {
    assert.isFalse(isSentName(name))
  })

  it.each(["f", "fra-1", "a".repeat(64), "Zürich 3", "東京", "🚀", " fra-1 ", `${" ".repeat(20)}${"a".repeat(64)}`])(
    "B3 %j is taken",
    (name) => {
      assert.isTrue(isSentName(name))
    }
  )

  it.prop("B3 what was sent is a name once it is trimmed", [sentName], ([sent]) => {
    assert.isTrue(isSentName(sent))
    assert.isTrue(Schema.is(ServerName)(sent.trim()))
  })

  it.prop("B3 what names are compared by is the same for the name as it is kept", [sentName], (given) => {
    const [sent] = given
    assert.strictEqual(nameKey(sent.trim()), nameKey(sent))
  })

  it.prop("B3 comparing again changes nothing", [sentName], ([sent]) => {
    assert.strictEqual(nameKey(nameKey(sent)), nameKey(sent))
  })

  it.prop("B3 case does not count", [sentName], ([sent]) => {
    assert.deepStrictEqual([sent.toUpperCase(), sent.toLowerCase()].map(nameKey), [nameKey(sent), nameKey(sent)])
  })

  it.each([
    ["Straße", "STRASSE"],
    ["Straße", "STRAẞE"],
    ["ﬁn", "FIN"],
    ["ｆｒａ", "fra"],
    ["é", "e\u0301"],
    ["Å", "\u212b"],
    ["ΟΔΟΣ", "οδος"],
    ["①", "1"]
  ])("B3 %s and %s are one name", (one, two) => {
    assert.strictEqual(nameKey(one), nameKey(two))
  })

  it.each([
    ["fra-1", "fra-2"],
    ["fra 1", "fra  1"],
    ["a", "а"]
  ])("B3 %j and %j are two names", (one, two) => {
    assert.notStrictEqual(nameKey(one), nameKey(two))
  })
})

const nested = (depth: number): unknown => (depth === 0 ? true : { in: nested(depth - 1) })
const many = (count: number, value: unknown) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`n${at}`, value]))

describe("Capabilities", () => {
  const takes = (json: unknown) => Schema.is(Capabilities)(json)

  it.each([
    ["nothing", {}],
    ["what the documentation shows", { vpn: { ipv6: true }, lan: {} }],
    ["3 levels", { vpn: nested(3) }],
    ["32 of them", many(32, {})],
    ["long lists", { vpn: { list: Array.from({ length: 5_000 }, (_, at) => at) } }]
  ])("H9 %s is taken", (_, json) => {
    assert.isTrue(takes(json))
  })

  it.each([
    ["4 levels", { vpn: nested(4) }],
    ["lists within lists", { vpn: { list: [[[[]]]] } }],
    ["33 of them", many(33, {})],
    ["NUL in a text", { vpn: { note: "a\u0000" } }],
    ["NUL in a key", { vpn: { "a\u0000": 1 } }],
    ["half a surrogate pair", { vpn: { note: "\ud800" } }],
    ["half a surrogate pair in a key", { vpn: { "\udc00": 1 } }],
    ["a number beyond all numbers", JSON.parse('{ "vpn": { "mtu": 1e999 } }')],
    ["a name in upper case", { VPN: {} }],
    ["an empty name", { "": {} }],
    ["true in place of details", { vpn: true }],
    ["null in place of details", { vpn: null }],
    ["a list in place of details", { vpn: [] }]
  ])("H9 %s is refused", (_, json) => {
    assert.isFalse(takes(json))
  })

  it("H9 100,000 levels are refused without running out of stack", () => {
    const json: unknown = JSON.parse(`${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`)
    assert.isFalse(takes({ vpn: json }))
  })

  it("a prototype in JSON changes nothing of anybody's", () => {
    const json: unknown = JSON.parse('{ "__proto__": { "vpn": {} } }')
    Schema.decodeUnknownExit(Capabilities)(json)
    assert.notProperty({}, "vpn")
  })
})

describe("Metrics", () => {
  const takes = (json: unknown) => Schema.is(Metrics)(json)

  it.each([
    ["nothing", {}],
    ["64 of them", many(64, 1)],
    ["unknown ones", { "my.own_Metric9": -1.5 }],
    ["the largest number", { rxBytes: Number.MAX_VALUE }],
    ["a name of 64 characters", { ["a".repeat(64)]: 1 }]
  ])("H9 %s is taken", (_, json) => {
    assert.isTrue(takes(json))
  })

  it.each([
    ["65 of them", many(65, 1)],
    ["NaN", { cpu: Number.NaN }],
    ["infinity", JSON.parse('{ "cpu": 1e999 }')],
    ["a number in a text", { cpu: "0.4" }],
    ["null", { cpu: null }],
    ["a name of 65 characters", { ["a".repeat(65)]: 1 }],
    ["a name that begins with a digit", { "1m": 1 }],
    ["an empty name", { "": 1 }],
    ["a name with a space", { "a b": 1 }],
    ["a name with NUL", { "a\u0000": 1 }],
    ["a list", [1]]
  ])("H9 %s is refused", (_, json) => {
    assert.isFalse(takes(json))
  })
})

describe("Heartbeat", () => {
  const sound = {
    bootId: "0192ce32-0000-7000-8000-000000000000",
    seq: 42,
    sentAt: "2026-11-22T10:00:00Z",
    activeConnections: 3,
    metrics: {}
  }

  it("H9 is taken as the documentation shows it", () => {
    assert.isTrue(Schema.is(Heartbeat)(sound))
  })

  it.each([
    ["seq", -1],
    ["seq", 1.5],
    ["seq", 2 ** 53],
    ["activeConnections", -1],
    ["activeConnections", 2 ** 31],
    ["bootId", "0192CE32-0000-7000-8000-000000000000"],
    ["bootId", "boot"],
    ["sentAt", "now"],
    ["cutCursor", "\u0000"]
  ])("H9 %s of %j is refused", (field, value) => {
    assert.isFalse(Schema.is(Heartbeat)({ ...sound, [field]: value }))
  })
})

describe("Labels and tags", () => {
  it.each([
    ["a key that begins with a digit", { "1a": "x" }],
    ["a key with a space", { "a b": "x" }],
    ["33 of them", many(33, "x")],
    ["NUL", { rack: "\u0000" }],
    ["half a surrogate pair", { rack: "\ud800" }],
    ["129 characters", { rack: "x".repeat(129) }],
    ["a number", { rack: 1 }]
  ])("H9 labels with %s are refused", (_, labels) => {
    assert.isFalse(Schema.is(Labels)(labels))
  })

  it.each(["", " eu", "-eu", "a b", "a\u0000", "x".repeat(33)])("H9 the tag %j is refused", (tag) => {
    assert.isFalse(Schema.is(Tag)(tag))
  })

  it("H9 a tag is not named twice", () => {
    assert.isFalse(Schema.is(Tags)(["eu", "eu"]))
  })
})

describe("Base64url", () => {
  it.prop("B10 a key has one spelling: what decodes to the same bytes is the same text", [PublicKey], ([key]) => {
    assert.strictEqual(Buffer.from(key, "base64url").toString("base64url"), key)
  })

  it.each([
    ["padding", `${"A".repeat(43)}=`],
    ["bits that carry nothing", `${"A".repeat(42)}B`],
    ["42 characters", "A".repeat(42)],
    ["44 characters", "A".repeat(44)],
    ["plain base64", `${"A".repeat(41)}+A`],
    ["a line feed", `${"A".repeat(43)}\n`],
    ["a space", ` ${"A".repeat(42)}`]
  ])("B10 a key with %s is refused", (_, key) => {
    assert.isFalse(Schema.is(PublicKey)(key))
  })

  it.each([30, 31, 32, 64])("every last character is checked, for %i bytes", (size) => {
    const takes = Schema.is(Base64UrlBytes(size))
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    const spellings = [...alphabet].map((last) => Buffer.alloc(size).toString("base64url").slice(0, -1) + last)
    const canonical = spellings.filter((text) => Buffer.from(text, "base64url").toString("base64url") === text)
    assert.deepStrictEqual(spellings.filter(takes), canonical)
  })
})

describe("Timestamp", () => {
  it.each(["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.123456789Z", "2026-11-22T11:00:00+01:00"])(
    "B4 %s is taken",
    (text) => {
      assert.isTrue(Schema.is(Timestamp)(text))
    }
  )

  it.each([
    "2026-11-22",
    "2026-11-22T10:00:00",
    "2026-11-22 10:00:00Z",
    "2026-13-01T10:00:00Z",
    "2026-11-22T25:00:00Z",
    "2026-11-22T10:00:00Z\n",
    "1763805600"
  ])("B4 %j is refused", (text) => {
    assert.isFalse(Schema.is(Timestamp)(text))
  })
})
