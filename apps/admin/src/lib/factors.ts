/** Second factors in words, and what people type for them. */
import type { FactorAsked } from "@broker/domain/AdminSession"
import type { FactorKind } from "@broker/domain/SecondFactor"
import { supportsPasskeys } from "./passkeys.ts"

export type Asked = typeof FactorAsked.Type
export type Kind = typeof FactorKind.Type

/** On the button that leads there. */
export const ways: Record<Kind, string> = {
  passkey: "Use a passkey",
  totp: "Use a code from an authenticator app",
  "recovery-code": "Use a recovery code"
}

/** How long the broker waits for an answer. */
export const patience = 5 * 60_000

const remembered = "broker-factor"

/** The one used last in this browser comes first; otherwise what takes the least effort. */
export const waysOf = (asked: Asked): ReadonlyArray<Kind> => {
  const order: ReadonlyArray<Kind> = ["passkey", "totp", "recovery-code"]
  const possible = order.filter(
    (kind) => asked.methods.includes(kind) && (kind !== "passkey" || (asked.passkey !== null && supportsPasskeys()))
  )
  const last = localStorage.getItem(remembered)
  return possible.toSorted((a, b) => Number(b === last) - Number(a === last))
}

/** A recovery code is for once: nobody wants to be asked for one the next time. */
export const remember = (kind: Kind) => {
  if (kind !== "recovery-code") localStorage.setItem(remembered, kind)
}

/** The digits of what was typed or pasted, with the spaces that people read them with. */
export const digitsOf = (text: string) => text.replace(/\D/g, "").slice(0, 6)

/** As it was shown, however it was typed. */
export const recoveryCodeOf = (text: string) => {
  const plain = text.toLowerCase().replace(/[^0-9a-z]/g, "")
  return plain.length > 5 ? `${plain.slice(0, 5)}-${plain.slice(5)}` : plain
}
