/** What admins have of their own, decoded by the domain's own schemas, and in words. */
import { AdminSession, type SignInMethod } from "@broker/domain/AdminSession"
import { CreatedApiToken } from "@broker/domain/ApiToken"
import { Passkey, TotpEnrolment } from "@broker/domain/SecondFactor"
import { Schema } from "effect"

export type PasskeyView = typeof Passkey.json.Type

export const decodeAdminSessions = Schema.decodeUnknownSync(Schema.Array(AdminSession))
export const decodePasskeys = Schema.decodeUnknownSync(Schema.Array(Passkey.json))
export const decodeTotpEnrolment = Schema.decodeUnknownSync(TotpEnrolment)
export const decodeCreatedApiToken = Schema.decodeUnknownSync(CreatedApiToken)

/** What loads the account's own tabs depends on it. */
export const accountKey = "broker:account"

const methods: Record<typeof SignInMethod.Type, string> = {
  password: "Password",
  passkey: "Passkey",
  "single-sign-on": "Single sign-on",
  link: "One-time link"
}

/** How a session was opened: "Password and second factor". */
export const methodWords = ({ factor, method }: Pick<AdminSession, "factor" | "method">) =>
  factor && method !== "passkey" ? `${methods[method]} and second factor` : methods[method]
