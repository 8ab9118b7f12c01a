/** Vitest's `globalSetup`: one PostgreSQL for the whole run, which the workers find by an environment variable. */
import { Effect, Exit, Redacted, Scope } from "effect"
import * as TestServer from "./TestServer.ts"

export default async function setup() {
  if (process.env[TestServer.variable] !== undefined) return
  const scope = Scope.makeUnsafe()
  const server = await Effect.runPromise(TestServer.acquire.pipe(Effect.tap(TestServer.template), Scope.provide(scope)))
  process.env[TestServer.variable] = Redacted.value(server)
  return async function teardown() {
    delete process.env[TestServer.variable]
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
