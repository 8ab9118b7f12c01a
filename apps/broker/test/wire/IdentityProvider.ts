/** A real OpenID provider that signs in whomever the test says, and asks nobody. */
import { generateKeyPairSync, randomUUID } from "node:crypto"
import { createServer, type RequestListener } from "node:http"
import { Redacted } from "effect"
import { type Configuration, Provider } from "oidc-provider"

/** Somebody at the provider. */
export interface Person {
  readonly subject: string
  readonly email?: string
  readonly verified?: boolean
  /** How they sign in there (RFC 8176). */
  readonly amr?: ReadonlyArray<string>
}

export const person = (fields: Partial<Person> = {}): Person => ({ subject: randomUUID(), verified: true, ...fields })

const key = { ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }), use: "sig" }

const clientId = "broker"
const clientSecret = "a secret between the two"

/** At an origin of its own; `redirectUri` may be told later than its issuer, as each side needs the other's. */
export const start = async () => {
  const people = new Map<string, Person>()
  let someone = person()
  let serve: RequestListener = (_, response) => void response.writeHead(503).end()
  const server = createServer((request, response) => serve(request, response))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const issuer = `http://localhost:${port}`

  const configure = (redirectUri: string, more: Partial<Configuration> = {}) => {
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: clientId,
          client_secret: clientSecret,
          redirect_uris: [redirectUri],
          token_endpoint_auth_method: "client_secret_post"
        }
      ],
      claims: { openid: ["sub", "amr"], email: ["email", "email_verified"], profile: ["name"] },
      // As most providers have it: what belongs to the e-mail address is told at the userinfo endpoint alone.
      conformIdTokenClaims: true,
      features: { devInteractions: { enabled: false } },
      jwks: { keys: [key] },
      cookies: { keys: [randomUUID()] },
      ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
      interactions: { url: () => "/interaction" },
      findAccount: async (_, id) => {
        const { email, subject, verified } = people.get(id) ?? person({ subject: id })
        return {
          accountId: id,
          claims: async () => ({ sub: subject, ...(email === undefined ? {} : { email, email_verified: verified }) })
        }
      },
      loadExistingGrant: async ({ oidc }) => {
        const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId })
        grant.addOIDCScope("openid email profile")
        await grant.save()
        return grant
      },
      ...more
    })
    const callback = provider.callback()
    serve = (request, response) => {
      if (request.url !== "/interaction") return callback(request, response)
      people.set(someone.subject, someone)
      const login = { accountId: someone.subject, remember: false, ...(someone.amr && { amr: someone.amr }) }
      provider
        .interactionFinished(request, response, { login })
        .catch((error: unknown) => response.destroy(error as Error))
    }
  }

  return {
    issuer,
    policy: { issuer, clientId, clientSecret: Redacted.make(clientSecret), name: "Example" },
    configure,
    /** Who sits at the provider from now on. */
    seat: (who: Person) => {
      someone = who
    },
    /** Answers whatever is asked, in the provider's place. */
    replace: (listener: RequestListener) => {
      const before = serve
      serve = (request, response) => listener(request, response)
      return () => {
        serve = before
      }
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
export type IdentityProvider = Awaited<ReturnType<typeof start>>

/** Whose page sent the browser; nobody's where an address was typed. */
export type Initiator = "same-origin" | "cross-site" | "none"

/** A browser that keeps cookies by origin, follows redirects, and tells whose page sent it where. */
export class Browser {
  private readonly jars = new Map<string, Map<string, string>>()
  private readonly strict = new Set<string>()

  private jar(url: URL) {
    const jar = this.jars.get(url.origin) ?? new Map<string, string>()
    this.jars.set(url.origin, jar)
    return jar
  }

  /** What a site has stored, by name. */
  cookies(url: string) {
    return this.jar(new URL(url))
  }

  /** One request, as a page of that site sends it; strict cookies stay at home when it is another's. */
  async go(to: string, from: Initiator = "none") {
    const url = new URL(to)
    const jar = this.jar(url)
    const cookie = Array.from(jar)
      .filter(([name]) => from !== "cross-site" || !this.strict.has(`${url.origin} ${name}`))
      .map(([name, value]) => `${name}=${value}`)
      .join("; ")
    const response = await fetch(url, {
      redirect: "manual",
      headers: { "sec-fetch-site": from, ...(cookie === "" ? {} : { cookie }) }
    })
    for (const set of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = set.split("; ")
      const [name = "", value = ""] = pair.split(/=(.*)/s)
      const isOver = attributes.some((each) => /^max-age=0$/i.test(each)) || /expires=Thu, 01.Jan.1970/i.test(set)
      if (/; samesite=strict/i.test(set)) this.strict.add(`${url.origin} ${name}`)
      if (value === "" || isOver) jar.delete(name)
      else jar.set(name, value)
    }
    const next = response.headers.get("location") ?? response.headers.get("refresh")?.replace(/^0; url=/, "")
    return {
      status: response.status,
      headers: response.headers,
      text: await response.text(),
      next: next === undefined || next === null ? undefined : new URL(next, url).href
    }
  }

  /** Follows wherever it is sent until it comes to a stop, or to what is looked for. */
  async follow(start: string, until: (url: string) => boolean = () => false) {
    let at = start
    let from: Initiator = "same-origin"
    for (let hop = 0; hop < 20; hop++) {
      if (until(at)) return { at, status: 0, text: "" }
      const { next, status, text, headers } = await this.go(at, from)
      if (next === undefined) return { at, status, text }
      // A redirect keeps what it began as; a page that sends one on is the one that asks.
      const home: Initiator = headers.has("refresh") ? "same-origin" : from
      from = new URL(next).origin === new URL(at).origin ? home : "cross-site"
      at = next
    }
    throw new Error(`too many redirects, at ${at}`)
  }
}
