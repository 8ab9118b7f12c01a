/** A machine with an API token, made by an owner of its own. */
import { procedure, signIn } from "./Dashboard.ts"
import { type Answer, type Ask, ask, type Json, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

export interface Machine {
  readonly id: string
  readonly token: string
  readonly ask: (method: string, path: string, given?: Ask) => Promise<Answer>
}

/** Makes tokens with scopes of choice, in the place of whoever owns the organization. */
export const machines = async (broker: Wire, name = "owner of machines") => {
  await broker.admin(name, password)
  const cookie = await signIn(broker, name, password)
  return async (scopes: ReadonlyArray<string>, called = "machine"): Promise<Machine> => {
    const input = { name: called, scopes, networks: [], expiresInSeconds: 3_600 }
    const answer = await procedure(broker, "mutation", "account.createApiToken", input, cookie)
    if (answer.status !== 200) throw new Error(answer.text)
    const { id, token } = (answer.json["result"] as { readonly data: Json }).data
    return {
      id: String(id),
      token: String(token),
      ask: (method, path, given) => ask(broker.url, method, `/api/v1${path}`, { bearer: String(token), ...given })
    }
  }
}
