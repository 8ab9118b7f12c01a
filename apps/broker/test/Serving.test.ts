import { Admins } from "@broker/core/admins/Admins"
import { AdminName } from "@broker/domain/Admin"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import * as Serving from "../src/Serving.ts"
import * as Settings from "../src/Settings.ts"

const origin = "http://localhost:3000"

const first = (password: string) =>
  Serving.firstAdmin(
    Settings.make({ adminName: AdminName.make("ada"), adminPassword: Redacted.make(password) }),
    origin
  )

describe("The first admin of the settings", () => {
  it.effect("A1 with a password that is easy to guess there is none, and the settings are told to be wrong", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const { problems } = yield* Effect.flip(first("password1234"))
      assert.lengthOf(problems, 1)
      assert.match(problems[0], /^ADMIN_PASSWORD is too easy to guess \(its value is not shown\)\. /)
      assert.notInclude(problems[0], "password1234")
      assert.isTrue(yield* admins.isSetupOpen)
      assert.deepStrictEqual(yield* first("lantern gravel orbit mustard"), Option.none())
      assert.isFalse(yield* admins.isSetupOpen)
      // Later changes of the setting change nothing, and stop nothing.
      assert.deepStrictEqual(yield* first("password1234"), Option.none())
    }).pipe(Effect.provide(Layer.fresh(Fixtures.layer)))
  )
})
