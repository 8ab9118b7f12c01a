import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { keyword, statements } from "../statements.ts"

describe("statements", () => {
  it("ends a statement at its semicolon", () => {
    assert.deepStrictEqual(statements("select 1; select 2;\n\nselect 3"), ["select 1", "select 2", "select 3"])
  })

  it("leaves out what says nothing", () => {
    assert.deepStrictEqual(statements(" ;; -- only a comment;\n ; /* another; */ ;"), [])
  })

  it("keeps the comment that stands before a statement", () => {
    assert.deepStrictEqual(statements("-- why; not\nselect 1;"), ["-- why; not\nselect 1"])
  })

  const whole = [
    ["a string", "select 'a;b''c;d', ';'"],
    ["a string that ends in a backslash", "select 'c:\\', 1"],
    ["an escape string", "select E'it\\'s; fine', e'\\\\', 1"],
    ["a name before a string", "select date'2026-01-01;'"],
    ["a quoted name", 'select "a;""b" from t'],
    ["a comment", "select 1 -- no; end\n + 2"],
    ["nested comments", "select /* a; /* b; */ c; */ 1"],
    ["a dollar quote", "do $$ begin perform 1; end $$"],
    ["a tagged dollar quote", "do $body$ begin perform ';' || $$;$$; end $body$"],
    ["parameters, which are no dollar quotes", "prepare a as select $1, $2"],
    ["a dollar in a name", "select a$b$ from t"],
    [
      "a rule with several actions",
      "create rule r as on insert to t do also (insert into a values (1); delete from b)"
    ],
    ["an atomic body", "create function f() returns int begin atomic select case when true then 1 end; select 2; end"],
    ["an atomic procedure", "create or replace procedure p() begin atomic insert into t values (1); end"]
  ] as const
  for (const [what, statement] of whole) {
    it(`does not end a statement inside of ${what}`, () => {
      assert.deepStrictEqual(statements(`${statement};select 'next'`), [statement, "select 'next'"])
    })
  }

  it("hands on what has no end, for PostgreSQL to refuse", () => {
    for (const endless of ["select 'a; b", "select $$ a; b", "/* a; b", 'select "a; b']) {
      assert.deepStrictEqual(statements(endless), [endless])
    }
  })

  const piece = Arbitrary.schema(Schema.Literals(whole.map(([, statement]) => statement)))
  const gap = Arbitrary.schema(Schema.Literals([";", ";\n", " ; -- end;\n", ";/* ; /* ; */ */", ";;\n\n"]))

  it.effect.prop("finds every statement of any script", [Arbitrary.array(Arbitrary.all([piece, gap]))], ([script]) =>
    Effect.sync(() => {
      const text = script.map(([statement, gap]) => statement + gap).join("")
      const found = statements(text)
      assert.lengthOf(found, script.length)
      for (const [index, statement] of found.entries()) assert.isTrue(statement.endsWith(script[index]?.[0] ?? "none"))
    })
  )

  it.effect.prop("loses no character of any text but blanks, semicolons and comments", [Schema.String], ([text]) =>
    Effect.sync(() => {
      // A text without the characters of the lexer is one statement, or none.
      const plain = text.replaceAll(/[;'"$/*\-()]/g, "x").trim()
      assert.deepStrictEqual(statements(plain), plain === "" ? [] : [plain])
    })
  )
})

describe("keyword", () => {
  it("is the first word past comments", () => {
    assert.strictEqual(keyword("  -- begin\n/* commit /* */ */ CREATE table t ()"), "create")
    assert.strictEqual(keyword("-- nothing"), "")
  })
})
