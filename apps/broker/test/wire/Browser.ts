/** A browser by hand: it keeps cookies, signs in, and holds an authenticator app. */
import { totpCode } from "@broker/testing/Authenticator"
import { failure, procedure } from "./Dashboard.ts"
import { type Answer, type Ask, ask, type Json } from "./Wire.ts"

interface Home {
  readonly url: string
}

/** A browser: it keeps the cookies that it is given, and sends them back. */
export const browser = (home: Home) => {
  const jar = new Map<string, string>()
  const keep = (answer: Answer) => {
    for (const line of answer.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split("; ")
      const [name = "", value = ""] = pair.split("=")
      const expires = attributes.find((each) => each.startsWith("Expires="))?.slice(8)
      const isOver = attributes.includes("Max-Age=0") || (expires !== undefined && Date.parse(expires) < Date.now())
      if (isOver || value === "") jar.delete(name)
      else jar.set(name, value)
    }
    return answer
  }
  const cookie = () => Array.from(jar, ([name, value]) => `${name}=${value}`).join("; ")
  return {
    jar,
    cookie,
    post: async (path: string, body?: Json, given: Ask = {}) =>
      keep(
        await ask(home.url, "POST", `/rpc/${path}`, {
          ...given,
          ...(body === undefined ? {} : { body }),
          headers: { cookie: cookie(), ...given.headers }
        })
      ),
    remove: async (path: string) =>
      keep(await ask(home.url, "DELETE", `/rpc/${path}`, { headers: { cookie: cookie() } })),
    call: async (type: "query" | "mutation", name: string, input?: unknown) => {
      const answer = await procedure(home, type, name, input ?? (type === "mutation" ? {} : undefined), cookie())
      return answer.status === 200
        ? (answer.json["result"] as { readonly data: Json }).data
        : `${failure(answer).httpStatus} ${failure(answer).problem}`
    }
  }
}
export type Browser = ReturnType<typeof browser>

/** Seconds that a code is shown. */
const totpStep = 30

/** Steps of time are used up, so each test of codes looks to later ones: one step ahead is good too. */
export const nextCode = (secret: string, used: string) => {
  for (const ahead of [0, 1]) {
    const code = totpCode(secret, Date.now() + ahead * totpStep * 1_000)
    if (code !== used) return code
  }
  throw new Error("no fresh code")
}

export const enrolTotp = async (own: Browser) => {
  const begun = await own.call("mutation", "account.beginTotp")
  if (typeof begun === "string") throw new Error(begun)
  const secret = String(begun["secret"])
  const code = totpCode(secret, Date.now())
  const answer = await own.post("account/totp", { code })
  if (answer.status !== 200) throw new Error(answer.text)
  return { secret, code, recoveryCodes: answer.json["recoveryCodes"] as unknown as ReadonlyArray<string> }
}

/** The status, and the code of the problem where there is one. */
export const status = (answer: Answer) =>
  answer.text === "" ? `${answer.status}` : `${answer.status} ${answer.json["code"]}`
