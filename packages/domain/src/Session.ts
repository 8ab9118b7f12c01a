/** What the dashboard knows of whoever is signed in, and of the broker it talks to. */
import { Schema } from "effect"
import { Permission, SignedIn } from "./Admin.ts"

export const Session = Schema.Struct({
  admin: SignedIn,
  permissions: Schema.Array(Permission),
  broker: Schema.Struct({
    version: Schema.String,
    /** The public origin, which agents are started with. */
    audience: Schema.String,
    /** Where the admin's request came from, as the broker sees it. */
    clientAddress: Schema.NullOr(Schema.String),
    /** Set where the cookie would be lost or read on the way: plain http on a host that is not local. */
    insecure: Schema.Boolean
  })
})
export type Session = typeof Session.Type
