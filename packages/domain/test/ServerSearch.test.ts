import {
  type Compare,
  type Condition,
  explain,
  parse,
  print,
  read,
  ServerSearch,
  suggestions,
  type Term
} from "@broker/domain/ServerSearch"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Result, Schema } from "effect"

const text = (letters: string, max: number) =>
  Arbitrary.map(
    Arbitrary.array(Arbitrary.schema(Schema.Literals([...letters])), { minLength: 1, maxLength: max }),
    (parts) => parts.join("")
  )

const whole = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const anything = text("ab \t\"\\-:<>=,*/.%\u00a0é東🚀'", 12)
const tag = Arbitrary.map(text("aé9._:/-", 12), (rest) => `t${rest}`)
const label = Arbitrary.map(text("aZ9_./-", 12), (rest) => `k${rest}`)
const capability = Arbitrary.map(text("a9_.-", 12), (rest) => `c${rest}`)
const version = Arbitrary.map(Arbitrary.all([text("0123456789", 4), anything]), ([number, rest]) => number + rest)
const compare = Arbitrary.schema(Schema.Literals(["<", "<=", ">", ">=", "="]))
const older = Arbitrary.schema(Schema.Literals(["<", ">"]))
const age = Arbitrary.all({
  count: whole(1, 99_999),
  unit: Arbitrary.schema(Schema.Literals(["s", "m", "h", "d", "w"]))
})
const number = Arbitrary.map(whole(-1_000_000, 1_000_000), (value) => value / 8 + 0)
const some = <A>(item: Arbitrary.Arbitrary<A>) => Arbitrary.array(item, { minLength: 1, maxLength: 4 })

/** Each kind of condition from its parts, one of which is picked. */
const condition: Arbitrary.Arbitrary<Condition> = Arbitrary.map(
  Arbitrary.all({
    pick: whole(0, 19),
    anything,
    tags: some(tag),
    label,
    names: some(capability),
    version,
    compare,
    older,
    age,
    number,
    yes: Arbitrary.schema(Schema.Boolean)
  }),
  ({ age, anything, compare, label, names, number, older, pick, tags, version, yes }): Condition =>
    (
      [
        { _tag: "Word", text: anything },
        { _tag: "Name", text: anything },
        { _tag: "Id", id: "019845e1-682f-7b02-a706-3b2422d13aec" },
        { _tag: "Tag", tags },
        { _tag: "Label", key: label, value: yes ? anything : null },
        { _tag: "Label", key: label, value: "" },
        { _tag: "Capability", names },
        { _tag: "Group", path: yes ? null : `g${anything.replaceAll("/", "")}/*` },
        { _tag: "Group", path: "*" },
        { _tag: "Version", compare, version },
        { _tag: "Version", compare: "=", version: anything },
        { _tag: "Status", statuses: yes ? ["offline", "never_seen"] : ["online"] },
        { _tag: "Admission", admissions: ["pending"] },
        { _tag: "Duty", duties: yes ? ["draining"] : ["serving", "maintenance"] },
        { _tag: "Verified", verified: yes },
        yes ? { _tag: "NeverSeen" } : { _tag: "Seen", compare: older, age },
        { _tag: "Registered", compare: older, age },
        { _tag: yes ? "Load" : "Connections", compare, value: number },
        { _tag: "Metric", name: label, compare, value: number },
        { _tag: "Address", network: yes ? "2001:db8::/48" : "10.0.0.1" }
      ] satisfies ReadonlyArray<Condition>
    )[pick] ?? { _tag: "NeverSeen" }
)

const search: Arbitrary.Arbitrary<ReadonlyArray<Term>> = Arbitrary.filter(
  Arbitrary.array(Arbitrary.all({ negated: Arbitrary.schema(Schema.Boolean), condition }), { maxLength: 6 }),
  Schema.is(ServerSearch)
)

const only = (text: string): Condition => {
  const terms = Result.getOrThrow(parse(text))
  assert.strictEqual(terms.length, 1)
  const [term] = terms
  assert.isDefined(term)
  return term.condition
}

const faultOf = (text: string) => {
  const parsed = parse(text)
  assert.isTrue(Result.isFailure(parsed), text)
  return Result.isFailure(parsed) ? parsed.failure : { from: 0, to: 0, message: "", meant: null }
}

describe("ServerSearch", () => {
  it.prop("what is printed is read as the same search", [search], ([terms]) => {
    assert.deepStrictEqual(Result.getOrThrow(parse(print(terms))), terms)
  })

  it.prop("no text throws, and a fault stands within it", [Schema.String, anything], ([a, b]) => {
    for (const text of [a, b, `tag:${b}`, `-label:${a}`, `version:${b} ${a}`, `${b}:${a}`]) {
      const parsed = parse(text)
      if (Result.isSuccess(parsed)) continue
      const { from, to } = parsed.failure
      assert.isTrue(0 <= from && from < to && to <= text.length)
      assert.isTrue(explain(text, parsed.failure).isWellFormed())
    }
  })

  it.prop(
    "any text of plain words is a search of as many words",
    [Arbitrary.array(text("aZ9_.é%/-'\\", 8), { maxLength: 8 })],
    ([words]) => {
      const parsed = Result.getOrThrow(parse(words.join("  ")))
      assert.strictEqual(parsed.length, words.length)
      assert.isTrue(parsed.every(({ condition }) => condition._tag === "Word"))
    }
  )

  it.prop(
    "suggestions stand within the text, whatever it is",
    [Schema.String, anything, whole(0, 20)],
    ([a, b, caret]) => {
      for (const text of [a, b, `tag:${b}`, `-label:"${a}`]) {
        const { from, items, to } = suggestions(text, caret, { tags: ["eu"], labels: { rack: ["b 2"] } })
        assert.isTrue(0 <= from && from <= to && to <= text.length)
        assert.isTrue(items.length <= 20)
      }
    }
  )

  const signs: ReadonlyArray<readonly [string, Compare]> = [
    ["<", "<"],
    ["<=", "<="],
    [">", ">"],
    [">=", ">="],
    ["=", "="],
    ["", "="]
  ]
  it.each(signs)("version:%s1.4 compares by %s", (sign, compare) => {
    assert.deepStrictEqual(only(`version:${sign}1.4`), { _tag: "Version", compare, version: "1.4" })
  })

  const read_: ReadonlyArray<readonly [string, Condition]> = [
    ["frankfurt", { _tag: "Word", text: "frankfurt" }],
    ['"edge 1"', { _tag: "Word", text: "edge 1" }],
    ['"tag:eu"', { _tag: "Word", text: "tag:eu" }],
    ["-", { _tag: "Word", text: "-" }],
    ["12:30", { _tag: "Word", text: "12:30" }],
    ["2001:db8::1", { _tag: "Word", text: "2001:db8::1" }],
    ["TAG:eu", { _tag: "Tag", tags: ["eu"] }],
    ["tag:eu,us", { _tag: "Tag", tags: ["eu", "us"] }],
    ["label:rack", { _tag: "Label", key: "rack", value: null }],
    ["label:rack=b2", { _tag: "Label", key: "rack", value: "b2" }],
    ['label:rack="row b=2"', { _tag: "Label", key: "rack", value: "row b=2" }],
    ["cap:vpn", { _tag: "Capability", names: ["vpn"] }],
    ["capability:vpn", { _tag: "Capability", names: ["vpn"] }],
    ["group:eu/frankfurt", { _tag: "Group", path: "eu/frankfurt" }],
    ['group:"New York"', { _tag: "Group", path: "New York" }],
    ["group:*", { _tag: "Group", path: null }],
    ['group:"*"', { _tag: "Group", path: "*" }],
    ["status:offline,Never-Seen", { _tag: "Status", statuses: ["offline", "never_seen"] }],
    ["admission:pending", { _tag: "Admission", admissions: ["pending"] }],
    ["duty:draining", { _tag: "Duty", duties: ["draining"] }],
    ["verified:no", { _tag: "Verified", verified: false }],
    ["seen:<5m", { _tag: "Seen", compare: "<", age: { count: 5, unit: "m" } }],
    ["seen:>2h", { _tag: "Seen", compare: ">", age: { count: 2, unit: "h" } }],
    ["seen:never", { _tag: "NeverSeen" }],
    ["registered:<7d", { _tag: "Registered", compare: "<", age: { count: 7, unit: "d" } }],
    ["load:>80%", { _tag: "Load", compare: ">", value: 0.8 }],
    ["connections:10", { _tag: "Connections", compare: "=", value: 10 }],
    ["metric.cpu:>0.9", { _tag: "Metric", name: "cpu", compare: ">", value: 0.9 }],
    ["id:019845E1-682f-7b02-a706-3b2422d13aec", { _tag: "Id", id: "019845e1-682f-7b02-a706-3b2422d13aec" }],
    ["address:10.0.0.0/8", { _tag: "Address", network: "10.0.0.0/8" }],
    ["ip:10.0.0.1", { _tag: "Address", network: "10.0.0.1" }]
  ]
  it.each(read_)("reads %s", (text, condition) => {
    assert.deepStrictEqual(only(text), condition)
  })

  it("a minus turns a term round", () => {
    assert.deepStrictEqual(Result.getOrThrow(parse("tag:eu  -status:offline -fra")), [
      { negated: false, condition: { _tag: "Tag", tags: ["eu"] } },
      { negated: true, condition: { _tag: "Status", statuses: ["offline"] } },
      { negated: true, condition: { _tag: "Word", text: "fra" } }
    ])
  })

  it.each([
    ["tags:eu", "tag:"],
    ["statsu:offline", "status:"],
    ["grup:eu", "group:"],
    ["status:offlin", "offline"],
    ["duty:drain", "draining"],
    ["verified:y", "yes"],
    ["label:rack:b2", "label:rack=b2"]
  ])("%s was probably meant otherwise: %s", (text, meant) => {
    assert.strictEqual(faultOf(text).meant, meant)
  })

  it.each([
    "tag:",
    "tag:a,",
    'tag:"a b"',
    "label:9",
    "cap:VPN!",
    "group:eu//x",
    "version:<abc",
    "seen:5m",
    "seen:<5",
    "seen:<0m",
    "seen:<=5m",
    "load:much",
    "metric:>1",
    "metric.:>1",
    "metric.cpu:>1e5",
    "id:12",
    "address:10.0.0.256",
    "address:10.0.0.0/33",
    "address:2001:db8::/129",
    "address:10.0.0.0/8/8",
    "unknown:x",
    '"open',
    'label:rack="open',
    '""',
    "a\u0000",
    "a\ud800",
    Array.from({ length: 33 }, () => "a").join(" ")
  ])("%j is not understood", (text) => {
    assert.notStrictEqual(faultOf(text).message, "")
  })

  it.effect("a failure names the place, what was read and what would be right", () =>
    Effect.gen(function* () {
      const { detail } = yield* Effect.flip(read("frankfurt tags:eu"))
      assert.strictEqual(detail, "At character 11, tags:eu: there is no tags:. Did you mean tag:?")
      const version = yield* Effect.flip(read("version:<new"))
      assert.include(version.detail, "At character 1, version:<new: version: takes a version, with <, <=, >, >= or =")
    })
  )
})

describe("suggestions", () => {
  const known = {
    tags: ["eu", "europe", "gpu"],
    labels: { rack: ["b2", "row 1"] },
    groups: ["eu/frankfurt", "New York"],
    metrics: ["cpu"]
  }
  const offered = (text: string, caret = text.length) => {
    const { from, items, to } = suggestions(text, caret, known)
    return items.map((item) => text.slice(0, from) + item.text + text.slice(to))
  }

  it("offers keys at the beginning, and after a blank", () => {
    assert.include(offered(""), "tag:")
    assert.include(offered("tag:eu "), "tag:eu status:")
    assert.deepStrictEqual(offered("tag:eu sta"), ["tag:eu status:"])
  })

  it("offers values after a key, those first that begin so", () => {
    assert.deepStrictEqual(offered("tag:eu"), ["tag:eu", "tag:europe"])
    assert.deepStrictEqual(offered("tag:p"), ["tag:europe", "tag:gpu"])
  })

  it("goes on after a minus and a comma", () => {
    assert.deepStrictEqual(offered("-tag:gpu,eur"), ["-tag:gpu,europe"])
  })

  it("quotes values with blanks, also of a quote that is open", () => {
    assert.deepStrictEqual(offered('group:"New'), ['group:"New York"'])
    assert.deepStrictEqual(offered("label:rack=r"), ['label:rack="row 1"'])
  })

  it("puts what is chosen in the place of what stands before the caret", () => {
    assert.deepStrictEqual(offered("ve tag:eu", 2), ["version: tag:eu", "verified: tag:eu"])
  })

  it("offers metrics by name, and nothing for keys that there are not", () => {
    assert.deepStrictEqual(offered("metric"), ["metric.cpu:"])
    assert.deepStrictEqual(offered("nonsense:"), [])
  })

  it.prop("what is offered for the statuses is understood", [whole(0, 9)], ([at]) => {
    const item = suggestions("status:", 7).items[at]
    assert.isDefined(item)
    assert.isTrue(Result.isSuccess(parse(`status:${item.text}`)))
  })
})
