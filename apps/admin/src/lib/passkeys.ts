/** Passkeys as the browser makes and uses them. The library comes when the first one is asked for. */
import type { PasskeyOptions, PasskeyResponse } from "@broker/domain/SecondFactor"
import type {
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON
} from "@simplewebauthn/browser"

type Options = typeof PasskeyOptions.Type

/** The browser, or whoever sits before it, gave no passkey; said in words. */
export class PasskeyMissing extends Error {
  override readonly name = "PasskeyMissing"
  readonly remedy: string

  constructor(message: string, remedy: string) {
    super(message)
    this.remedy = remedy
  }
}

/** Something else took its place: the page was left, or another passkey was asked for. */
export class PasskeyDropped extends Error {
  override readonly name = "PasskeyDropped"
}

/** Browsers know passkeys on https and on localhost only. */
export const supportsPasskeys = () => window.isSecureContext && typeof window.PublicKeyCredential === "function"

const isRequest = (options: Options): options is Options & PublicKeyCredentialRequestOptionsJSON =>
  typeof options["challenge"] === "string"

const isCreation = (options: Options): options is Options & PublicKeyCredentialCreationOptionsJSON =>
  typeof options["challenge"] === "string" && ["rp", "user", "pubKeyCredParams"].every((name) => name in options)

const unknown = () => new PasskeyMissing("The passkey could not be used.", "Try again, or choose another way.")

/** By the names that the standard gives to what goes wrong. */
const explained = (error: unknown) => {
  if (!(error instanceof Error)) return unknown()
  switch (error.name) {
    case "AbortError":
      return new PasskeyDropped()
    case "NotAllowedError":
      return new PasskeyMissing("No passkey was given.", "It was cancelled, or took too long. Try again.")
    case "InvalidStateError":
      return new PasskeyMissing("This device is enrolled already.", "Use another device or security key.")
    case "NotSupportedError":
    case "ConstraintError":
      return new PasskeyMissing(
        "This device cannot keep a passkey of the kind that is needed.",
        "It must be able to check that it is you, by a PIN or a fingerprint. Use another one."
      )
    case "SecurityError":
      return new PasskeyMissing(
        "The browser allows no passkey at this address.",
        "Open the dashboard at the broker's own address, by name and over https."
      )
    default:
      return unknown()
  }
}

const library = () => import("@simplewebauthn/browser")

/** Asks for a passkey that is known to the broker. */
export const usePasskey = async (options: Options): Promise<PasskeyResponse> => {
  const { startAuthentication } = await library()
  if (!isRequest(options)) throw unknown()
  try {
    return { ...(await startAuthentication({ optionsJSON: options })) }
  } catch (error) {
    throw explained(error)
  }
}

/** Makes a new one. */
export const makePasskey = async (options: Options): Promise<PasskeyResponse> => {
  const { startRegistration } = await library()
  if (!isCreation(options)) throw unknown()
  try {
    return { ...(await startRegistration({ optionsJSON: options })) }
  } catch (error) {
    throw explained(error)
  }
}

/** Whether the browser offers passkeys where names are filled in. */
export const offersPasskeys = async () => supportsPasskeys() && (await library()).browserSupportsWebAuthnAutofill()

/** Waits until somebody chooses a passkey where names are filled in, which may be never. */
export const chosenPasskey = async (options: Options): Promise<PasskeyResponse> => {
  const { startAuthentication } = await library()
  if (!isRequest(options)) throw unknown()
  try {
    return { ...(await startAuthentication({ optionsJSON: options, useBrowserAutofill: true })) }
  } catch (error) {
    throw explained(error)
  }
}

/** Ends a wait for a passkey, as the page is left. */
export const dropPasskey = async () => (await library()).WebAuthnAbortService.cancelCeremony()
