/** Who failed to sign in of late, and has to wait: accounts, keys and addresses, on all nodes together (A3). */
import { Schema } from "effect"
import { Count, Text } from "./Primitives.ts"
import { Problem } from "./Problem.ts"

/** `name` is a name that no admin has: it is slowed down all the same, so that nobody can tell. */
export const SignInSubject = Schema.Literals(["admin", "name", "personal-key", "address"])
export type SignInSubject = typeof SignInSubject.Type

export const SignInFailure = Schema.Struct({
  /** What to lift it by. */
  id: Text(256),
  kind: SignInSubject,
  /** The admin's name, the key's name with its user's, or the address; null for an unknown name, which is not kept. */
  subject: Schema.NullOr(Schema.String),
  failures: Count,
  lastAt: Schema.DateTimeUtcFromString,
  /** Until then tries are refused. In the past for those who need not wait. */
  nextAt: Schema.DateTimeUtcFromString
})
export type SignInFailure = typeof SignInFailure.Type

export class SignInFailureNotFound extends Problem<SignInFailureNotFound>()("SignInFailureNotFound", {
  code: "sign_in_failure_not_found",
  status: 404,
  title: "Nothing to lift",
  detail: "Nobody has to wait under this id any more.",
  remedy: "Look at the list again."
}) {}
