/** Whether a password is hard to guess: by how many guesses it takes and by what was breached, not by kinds of characters. */
import { type ForkOptions, fork } from "node:child_process"
import { once } from "node:events"
import { type NewPassword, WeakPassword } from "@broker/domain/Admin"
import { nameKey } from "@broker/domain/Server"
import { Context, Duration, Effect, Layer, RcRef, Redacted, Semaphore } from "effect"
import type { Judgement, Question } from "./PasswordJudge.ts"

/** What every guess about a password of this product begins with. */
const product = ["broker"]

/** How long the judge waits for another password: starting it takes half a second. */
const idle = Duration.minutes(1)

/** How long a judgement may take: a hundred times what it does. Whoever takes longer hangs, and is replaced. */
export const JudgePatience = Context.Reference<Duration.Duration>(
  "@broker/core/admins/PasswordStrength/JudgePatience",
  {
    defaultValue: () => Duration.seconds(5)
  }
)

/** The judge knows nothing of what the broker was started with, and keeps its heap small. */
const options: ForkOptions = {
  env: {},
  execArgv: ["--max-semi-space-size=2"],
  stdio: ["ignore", "ignore", "inherit", "ipc"]
}

const separators = /[^\p{L}\p{N}]+/u

/** A name, or an e-mail address, as a whole and in its parts. */
const wordsOf = (name: string) => {
  const key = nameKey(name)
  const [user = ""] = key.split("@")
  const words = key.split(separators)
  return [key, user, ...[key, user].map((text) => text.split(separators).join("")), ...words].filter(
    (word) => word.length >= 3
  )
}

export class PasswordStrength extends Context.Service<
  PasswordStrength,
  {
    /** Names of the person and of what they sign in to count as known to whoever guesses. */
    check(password: NewPassword, about: ReadonlyArray<string>): Effect.Effect<void, WeakPassword>
  }
>()("@broker/core/admins/PasswordStrength") {
  static readonly layer = Layer.effect(
    PasswordStrength,
    Effect.gen(function* () {
      const turn = yield* Semaphore.make(1)
      const judges = yield* RcRef.make({
        acquire: Effect.acquireRelease(
          Effect.sync(() => {
            const judge = fork(new URL("./PasswordJudge.ts", import.meta.url), options)
            const gone = once(judge, "exit").then(() => Promise.reject(new Error("The judge of passwords has gone")))
            // Told to whoever asks it next, and to nobody where nobody does.
            gone.catch(() => {})
            return { judge, gone }
          }),
          // One that hangs would not hear a politer signal.
          ({ judge }) => Effect.sync(() => judge.kill("SIGKILL"))
        ),
        idleTimeToLive: idle
      })

      /** Not to be interrupted: the next to ask would get this one's answer. */
      const ask = (question: Question, patience: Duration.Duration) =>
        Effect.flatMap(RcRef.get(judges), ({ gone, judge }) =>
          Effect.promise(async (): Promise<Judgement> => {
            // While it works, and no longer, it keeps the process from ending.
            judge.ref()
            judge.channel?.ref()
            const signal = AbortSignal.timeout(Duration.toMillis(patience))
            const answered = Promise.race([once(judge, "message", { signal }), gone])
            const sent = new Promise<void>((resolve, reject) =>
              judge.send(question, (error) => (error === null ? resolve() : reject(error)))
            )
            const [[judgement]] = await Promise.all([answered, sent])
            judge.unref()
            judge.channel?.unref()
            return judgement
          })
        ).pipe(
          Effect.tapDefect(() => RcRef.invalidate(judges)),
          Effect.scoped,
          Effect.uninterruptible,
          turn.withPermit
        )

      const check = Effect.fn("PasswordStrength.check")(function* (
        password: NewPassword,
        about: ReadonlyArray<string>
      ) {
        const question = { password: Redacted.value(password), about: [...product, ...about.flatMap(wordsOf)] }
        const { advice, strong } = yield* ask(question, yield* JudgePatience)
        if (!strong) return yield* new WeakPassword({ advice })
      })

      return PasswordStrength.of({ check })
    })
  )
}
