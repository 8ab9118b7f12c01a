import { JudgePatience, PasswordStrength } from "@broker/core/admins/PasswordStrength"
import { NewPassword } from "@broker/domain/Admin"
import { assert, describe, layer } from "@effect/vitest"
import { Duration, Effect, Exit, Redacted, Result, Schema } from "effect"

/** What is said of a password; null where it will do. */
const advice = Effect.fnUntraced(function* (password: string, about: ReadonlyArray<string> = ["Ada Lovelace"]) {
  const strength = yield* PasswordStrength
  // Whatever is judged has the length that is asked for (NIST SP 800-63B).
  yield* Schema.decodeEffect(NewPassword)(password)
  const result = yield* Effect.result(strength.check(Redacted.make(password), about))
  return Result.isFailure(result) && result.failure._tag === "WeakPassword" ? result.failure.advice : null
})

describe("A password", () => {
  layer(PasswordStrength.layer)((it) => {
    it.effect.each([
      ["of words that have nothing to do with each other", "lantern gravel orbit mustard"],
      ["of no kind of character but letters", "lanterngravelorbitmustard"],
      ["that a password manager made", "Zk3!kd9-sQq1"],
      ["in another script", "зелёный паровоз летит над полем"]
    ])("will do: %s", ([, password = ""]) =>
      Effect.gen(function* () {
        assert.isNull(yield* advice(password))
      })
    )

    it.effect.each([
      ["one of the most breached", "1qaz2wsx3edc"],
      ["breached, long and of every kind of character once changed a little", "Mailcreated5240!"],
      ["famous", "correct horse battery staple"],
      ["famous, put differently", "Correct-Horse-Battery-Staple"],
      ["common, with the usual additions", "P@ssw0rd123456"],
      ["a sequence", "abcdefghijklmnop"],
      ["rows of the keyboard", "qwertyuiop[]asdf"],
      ["one thing over and over", "tuliptuliptulip"],
      ["the product", "Broker123456"]
    ])("is too weak: %s", ([, password = ""]) =>
      Effect.gen(function* () {
        assert.isNotNull(yield* advice(password))
      })
    )

    it.effect("is too weak when it is about whoever has it, though not for others", () =>
      Effect.gen(function* () {
        const about = yield* advice("quentinfoxworthy77", ["quentin.foxworthy@example.com"])
        assert.include(about?.join(" "), "personal")
        assert.isNull(yield* advice("quentinfoxworthy77"))
      })
    )

    it.effect("is judged in bounded time, however long and twisted it is, and off the event loop", () =>
      Effect.gen(function* () {
        yield* advice("the judge is awake by now")
        const twisted = "4@8(3!1|0$5+7%2".repeat(17)
        let longest = 0
        let last = performance.now()
        const ticks = setInterval(() => {
          longest = Math.max(longest, performance.now() - last)
          last = performance.now()
        }, 1)
        const started = performance.now()
        yield* advice(twisted)
        clearInterval(ticks)
        assert.isBelow(performance.now() - started, 5_000)
        assert.isBelow(longest, 150)
      })
    )

    it.effect("is not judged by a judge that hangs, and the next has another", () =>
      Effect.gen(function* () {
        const impatient = Effect.provideService(JudgePatience, Duration.millis(1))
        const hung = yield* Effect.exit(advice("1qaz2wsx3edc").pipe(impatient))
        const next = yield* advice("lantern gravel orbit mustard")
        assert.deepStrictEqual([Exit.hasDies(hung), next], [true, null])
      })
    )

    it.effect("is judged one at a time, and each gets its own answer", () =>
      Effect.gen(function* () {
        const passwords = Array.from({ length: 20 }, (_, at) =>
          at % 2 === 0 ? "1qaz2wsx3edc" : "lantern gravel orbit mustard"
        )
        const answers = yield* Effect.forEach(passwords, (password) => advice(password), { concurrency: "unbounded" })
        assert.deepStrictEqual(
          answers.map((answer) => answer === null),
          passwords.map((_, at) => at % 2 === 1)
        )
      })
    )
  })
})
