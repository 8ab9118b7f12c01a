/** What the dashboard knows of whoever is signed in, and of the broker it talks to. */
import { Schema } from "effect"
import { Factors, SignedIn } from "./Admin.ts"
import { SignInMethod } from "./AdminSession.ts"
import { Permission } from "./Permission.ts"

export const Session = Schema.Struct({
  admin: SignedIn,
  /** None as long as a second factor is demanded and none is enrolled. */
  permissions: Schema.Array(Permission),
  /** The organization demands a second factor: all there is to do is to enrol one (A2). */
  mustEnrol: Schema.Boolean,
  factors: Factors,
  method: SignInMethod,
  broker: Schema.Struct({
    version: Schema.String,
    /** The public origin, which agents are started with. */
    audience: Schema.String,
    /** Where the admin's request came from, as the broker sees it. */
    clientAddress: Schema.NullOr(Schema.String),
    /** Set where the cookie would be lost or read on the way: plain http on a host that is not local. */
    insecure: Schema.Boolean,
    /** What the identity provider is called on buttons; null where there is none. */
    singleSignOn: Schema.NullOr(Schema.String)
  })
})
export type Session = typeof Session.Type
