/** The package has no types of its own: these are of what the tests use. */
declare module "oidc-provider" {
  import type { IncomingMessage, ServerResponse } from "node:http"

  export interface Grant {
    addOIDCScope(scope: string): void
    save(): Promise<string>
  }

  interface Context {
    readonly oidc: {
      readonly provider: { readonly Grant: new (of: { clientId: string; accountId: string }) => Grant }
      readonly client: { readonly clientId: string }
      readonly session: { readonly accountId: string }
    }
  }

  interface Account {
    readonly accountId: string
    claims(): Promise<Readonly<Record<string, unknown>> & { readonly sub: string }>
  }

  interface Configuration {
    readonly clients: ReadonlyArray<Readonly<Record<string, unknown>>>
    readonly claims: Readonly<Record<string, ReadonlyArray<string>>>
    readonly conformIdTokenClaims: boolean
    readonly features: Readonly<Record<string, { readonly enabled: boolean }>>
    readonly jwks: { readonly keys: ReadonlyArray<object> }
    readonly cookies: { readonly keys: ReadonlyArray<string> }
    readonly ttl: Readonly<Record<string, number>>
    readonly interactions: { url(): string }
    findAccount(context: unknown, id: string): Promise<Account>
    loadExistingGrant(context: Context): Promise<Grant>
  }

  export class Provider {
    constructor(issuer: string, configuration: Configuration)
    callback(): (request: IncomingMessage, response: ServerResponse) => void
    interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>
    on(event: string, listener: (...parts: ReadonlyArray<unknown>) => void): void
  }
}
