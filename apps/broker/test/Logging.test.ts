import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Redacted } from "effect"
import * as Logging from "../src/Logging.ts"

const output = (isTTY = false) => {
  const lines: Array<string> = []
  return {
    lines,
    to: { isTTY, write: (text: string) => lines.push(text) > 0 }
  }
}

const logged = <E>(body: Effect.Effect<void, E>, options: Partial<Logging.Options> = {}) => {
  const { lines, to } = output()
  const layer = Logging.layer({ level: "info", format: "json", to, ...options })
  return Effect.as(Effect.provide(body, layer), lines)
}

const parsed = (lines: ReadonlyArray<string>): ReadonlyArray<Record<string, unknown>> =>
  lines.map((line) => JSON.parse(line))

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "broker-log-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

describe("Logging", () => {
  it.effect("writes one JSON object a line, with what the line was annotated with", () =>
    Effect.gen(function* () {
      const lines = yield* logged(
        Effect.logInfo("Registered a server", { name: "fra-1", tags: ["eu"] }).pipe(
          Effect.annotateLogs({ requestId: "0192", level: "mine" })
        )
      )
      assert.strictEqual(lines.length, 1)
      assert.isTrue(lines[0]?.endsWith("}\n"))
      assert.deepStrictEqual(parsed(lines), [
        {
          time: "1970-01-01T00:00:00.000Z",
          level: "info",
          message: "Registered a server",
          requestId: "0192",
          name: "fra-1",
          tags: ["eu"]
        }
      ])
      assert.deepStrictEqual(Object.keys(parsed(lines)[0] ?? {}).slice(0, 3), ["time", "level", "message"])
    })
  )

  it.effect("writes nothing below the level", () =>
    Effect.gen(function* () {
      const all = Effect.all([Effect.logDebug("a"), Effect.logInfo("b"), Effect.logWarning("c"), Effect.logError("d")])
      const levels = (level: Logging.Options["level"]) =>
        Effect.map(logged(Effect.asVoid(all), { level }), (lines) => parsed(lines).map(({ message }) => message))
      assert.deepStrictEqual(yield* levels("debug"), ["a", "b", "c", "d"])
      assert.deepStrictEqual(yield* levels("warn"), ["c", "d"])
      assert.deepStrictEqual(yield* levels("off"), [])
    })
  )

  it.effect("keeps a cause and its stack on the line", () =>
    Effect.gen(function* () {
      const [line] = parsed(yield* logged(Effect.logError("It broke", Cause.die(new Error("why")))))
      assert.strictEqual(line?.["message"], "It broke")
      assert.match(String(line?.["cause"]), /Error: why\n\s+at /)
    })
  )

  it.effect("takes what JSON does not", () =>
    Effect.gen(function* () {
      const circular: Record<string, unknown> = { name: "loop" }
      circular["self"] = circular
      const [line] = parsed(yield* logged(Effect.logInfo("Odd", { circular, many: 2n, bytes: new Uint8Array(2) })))
      assert.strictEqual(line?.["message"], "Odd")
    })
  )

  it.effect("shows no secrets, known or slipped into a text", () =>
    Effect.gen(function* () {
      const secret = "brk_srv_AZLJ8Y-Lc4yd0t6Uo_6-Yghunter2hunter2hunter2hunter2hunter2AbCd"
      for (const format of ["json", "pretty"] as const) {
        const lines = yield* logged(
          Effect.gen(function* () {
            yield* Effect.logInfo("Redacted", {
              password: Redacted.make("hunter2"),
              deep: { key: Redacted.make("hunter2") }
            })
            yield* Effect.logInfo(Redacted.make("hunter2")).pipe(Effect.annotateLogs("token", Redacted.make("hunter2")))
            yield* Effect.logInfo(`Bearer ${secret} refused`, {
              url: "postgres://broker:hunter2@127.0.0.1:5432/broker"
            })
            yield* Effect.logError(
              "Died",
              Cause.die(new Error(`connect postgres://broker:hunter2@db/broker ${secret}`))
            )
          }),
          { format }
        )
        assert.strictEqual(lines.length, 4)
        assert.notInclude(lines.join(""), "hunter2")
        assert.include(lines.join(""), "postgres://broker:…@127.0.0.1:5432/broker")
        assert.include(lines.join(""), "brk_srv_…")
      }
    })
  )

  it.effect("shows what a terminal would obey, and ends no line but its own", () =>
    Effect.gen(function* () {
      const name = '\u001b[2J\u009b31m\r\n{"level":"fatal"}\u202e\u0007'
      for (const format of ["json", "pretty"] as const) {
        const lines = yield* logged(Effect.logInfo(`Registered ${name}`, { name, short: "\u001b[2J" }), { format })
        assert.strictEqual(lines.length, 1)
        assert.notMatch(lines[0]?.slice(0, -1) ?? "", /[\u0000-\u001f\u007f-\u009f\u202e]/)
        if (format === "json") assert.strictEqual(parsed(lines)[0]?.["name"], name)
      }
    })
  )

  it.effect("is for people on a terminal, and JSON elsewhere", () =>
    Effect.gen(function* () {
      const line = Effect.logWarning("Slow", { millis: 12, path: "/a b" })
      const terminal = output(true)
      yield* logged(line, { format: "auto", to: terminal.to })
      assert.match(terminal.lines[0] ?? "", /WARN.* Slow .*millis=12.*path="\/a b"/)
      const pipe = output()
      yield* logged(line, { format: "auto", to: pipe.to })
      assert.strictEqual(parsed(pipe.lines)[0]?.["path"], "/a b")
      const [pretty] = yield* logged(line, { format: "pretty" })
      assert.match(pretty ?? "", /^\d\d:\d\d:\d\d WARN {2}Slow millis=12 path="\/a b"\n$/)
    })
  )

  it.live("begins a new file at a size, and keeps some old ones", () =>
    Effect.gen(function* () {
      const path = join(yield* directory, "logs", "broker.log")
      const file = { path, maxSize: 2048, maxAge: Duration.days(1), count: 2 }
      const write = Effect.forEach(
        Array.from({ length: 100 }, (_, index) => index),
        (index) =>
          Effect.andThen(Effect.logInfo("A line of some length, so that files fill up", { index }), Effect.sleep(2))
      )
      yield* logged(Effect.asVoid(write), { file })
      const names = readdirSync(join(path, "..")).filter((name) => name.endsWith(".log"))
      assert.strictEqual(names.length, 3)
      assert.include(names, "broker.log")
      const lines = names.flatMap((name) =>
        readFileSync(join(path, "..", name), "utf8")
          .trim()
          .split("\n")
      )
      const found = parsed(lines.filter((line) => line !== "")).map(({ index }) => Number(index))
      assert.strictEqual(Math.max(...found), 99)
      assert.strictEqual(new Set(found).size, found.length)
    }).pipe(Effect.scoped)
  )

  it.live("goes on when the file cannot be written", () =>
    Effect.gen(function* () {
      const path = join(yield* directory, "taken")
      mkdirSync(path)
      chmodSync(path, 0o500)
      const file = { path, maxSize: 2048, maxAge: Duration.days(1), count: 2 }
      const lines = yield* logged(
        Effect.all([Effect.logInfo("one"), Effect.sleep(100), Effect.logInfo("two")], { discard: true }),
        { file }
      )
      assert.strictEqual(lines.length, 2)
    }).pipe(Effect.scoped)
  )
})
