/** E-mail that the broker sends: handed to one mail server, which takes it from there. */

import { Readable } from "node:stream"
import { domainToASCII } from "node:url"
import { Context, Effect, Layer, Redacted, Schema, Stream } from "effect"
import { createTransport } from "nodemailer"

/** Where e-mail goes, and from whom it is; null where nobody set that up. */
export const MailSettings = Context.Reference<{
  /** `smtp://` (STARTTLS where the server offers it) or `smtps://`, with name and password where it asks for them. */
  readonly url: Redacted.Redacted<string>
  readonly from: string
} | null>("@broker/core/mail/MailSettings", { defaultValue: () => null })

interface Attachment {
  readonly name: string
  /** Its media type. */
  readonly type: string
  readonly content: Stream.Stream<Uint8Array, MailRefused>
}

export interface Message {
  /** The same each time that it is sent: who gets it twice can tell. Without angle brackets. */
  readonly id: string
  readonly to: ReadonlyArray<string>
  readonly subject: string
  readonly text: string
  readonly date: Date
  readonly attachments: ReadonlyArray<Attachment>
}

/** The mail server was away, or would not take it: for whoever reads the log, without secrets. */
export class MailRefused extends Schema.TaggedError<MailRefused>()("MailRefused", { detail: Schema.String }) {
  override get message() {
    return this.detail
  }
}

/** An address that the mail server would not take, and why. */
export interface Refused {
  readonly address: string
  readonly why: string
}

/** A server that says nothing is away. */
const timeouts = { connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 60_000, dnsTimeout: 10_000 }

const longest = 300

/** In which a mail server, however slowly it answers, has a message or has not. */
const patience = "2 minutes"

/** What nodemailer threw, or the server answered, on one line: an answer may repeat anything, but not the password. */
const wordsOf = (cause: unknown, secrets: ReadonlyArray<string>) => {
  const said = cause instanceof Error ? cause.message : String(cause)
  return secrets
    .reduce((text, secret) => (secret === "" ? text : text.replaceAll(secret, "(hidden)")), said)
    .replaceAll(/\s+/gu, " ")
    .slice(0, longest)
}

/** As it is written to a mail server, whose domains are in small letters and ASCII. */
const written = (address: string) => {
  const at = address.lastIndexOf("@")
  return `${address.slice(0, at)}@${domainToASCII(address.slice(at + 1).toLowerCase())}`
}

const secretsOf = (url: Redacted.Redacted<string>) => {
  const { password } = new URL(Redacted.value(url))
  return [Redacted.value(url), password, decodeURIComponent(password)].map(String)
}

export class Mail extends Context.Service<
  Mail,
  {
    readonly isSetUp: boolean
    /**
     * Returns once the mail server has taken it, and tells for whom it did not: they alone are to be sent it again. Fails
     * where it took it for nobody.
     */
    send(message: Message): Effect.Effect<ReadonlyArray<Refused>, MailRefused>
    /** Whether the mail server answers and lets the broker in; sends nothing. */
    readonly check: Effect.Effect<void, MailRefused>
  }
>()("@broker/core/mail/Mail") {
  static readonly layer = Layer.effect(
    Mail,
    Effect.gen(function* () {
      const settings = yield* MailSettings
      if (settings === null) {
        const missing = Effect.fail(new MailRefused({ detail: "No mail server is set up." }))
        return Mail.of({ isSetUp: false, send: () => missing, check: missing })
      }
      const { from, url } = settings
      const transport = createTransport({
        url: Redacted.value(url),
        ...timeouts,
        disableFileAccess: true,
        disableUrlAccess: true
      })
      const secrets = secretsOf(url)
      const refused = (cause: unknown) => new MailRefused({ detail: wordsOf(cause, secrets) })

      const send = Effect.fn("Mail.send")(function* (message: Message) {
        const { rejected, rejectedErrors = [] } = yield* Effect.tryPromise({
          try: () =>
            transport.sendMail({
              from,
              to: [...message.to],
              subject: message.subject,
              text: message.text,
              date: message.date,
              messageId: `<${message.id}>`,
              // No answer of a machine to a machine.
              headers: { "Auto-Submitted": "auto-generated" },
              attachments: message.attachments.map(({ content, name, type }) => ({
                filename: name,
                contentType: type,
                content: Readable.from(Stream.toAsyncIterable(content))
              }))
            }),
          catch: refused
        }).pipe(
          Effect.timeoutOrElse({
            duration: patience,
            orElse: () => new MailRefused({ detail: "The mail server took too long." })
          })
        )
        return message.to.flatMap((address) => {
          if (!rejected.some((one) => written(one) === written(address))) return []
          const cause = rejectedErrors.find(({ recipient = "" }) => written(recipient) === written(address))
          return [{ address, why: wordsOf(cause ?? "refused", secrets) }]
        })
      })

      const check = Effect.tryPromise({ try: () => transport.verify(), catch: refused }).pipe(
        Effect.asVoid,
        Effect.withSpan("Mail.check")
      )

      return Mail.of({ isSetUp: true, send, check })
    })
  )
}
