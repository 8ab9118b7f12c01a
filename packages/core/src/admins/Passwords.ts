/** Hashes of admins' passwords: argon2id by the parameters of OWASP (19 MiB, t = 2, p = 1). */
import type { NewPassword, Password } from "@broker/domain/Admin"
import { hash, hashRaw, verify } from "@node-rs/argon2"
import { Context, Effect, Layer, Redacted, Semaphore } from "effect"

const parameters = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** How many are worked out at once, so that signing in never starves heartbeats. */
const atOnce = 4

export class Passwords extends Context.Service<
  Passwords,
  {
    hash(password: NewPassword): Effect.Effect<string>
    /** Takes as long when there is no hash to compare with (A3). */
    matches(hash: string | undefined, password: Password): Effect.Effect<boolean>
    /** The same 32 bytes for the same secret and salt: for secrets too short for a quick digest, such as recovery codes. */
    derive(secret: Redacted.Redacted<string>, salt: Uint8Array): Effect.Effect<Uint8Array>
  }
>()("@broker/core/admins/Passwords") {
  static readonly layer = Layer.effect(
    Passwords,
    Effect.gen(function* () {
      const turns = yield* Semaphore.make(atOnce)
      const compute = <A>(promise: () => Promise<A>) => turns.withPermit(Effect.promise(promise))
      const nobody = yield* compute(() => hash("nobody has this password", parameters))

      return Passwords.of({
        hash: (password) => compute(() => hash(Redacted.value(password), parameters)),
        matches: (stored, password) =>
          compute(() => verify(stored ?? nobody, Redacted.value(password))).pipe(
            Effect.map((matches) => matches && stored !== undefined)
          ),
        derive: (secret, salt) => compute(() => hashRaw(Redacted.value(secret), { ...parameters, salt, outputLen: 32 }))
      })
    })
  )
}
