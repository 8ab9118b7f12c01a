/** What the list of failed sign-ins shows, as it stands in the URL, and its words. */
import { type SignInFailure, SignInSubject } from "@broker/domain/SignInFailure"
import { Schema } from "effect"
import { millis } from "#lib/time.ts"
import { listed, searchOf } from "#lib/views.ts"

export interface SignInsView {
  readonly text: string
  readonly kinds: ReadonlyArray<SignInSubject>
  /** Only those who have to wait. */
  readonly waiting: boolean
}

type Failure = typeof SignInFailure.Type

export const kinds: Record<SignInSubject, { readonly word: string; readonly meaning: string }> = {
  admin: { word: "Admin", meaning: "An account of the dashboard." },
  name: {
    word: "Unknown name",
    meaning: "A name that no admin has. It is slowed down all the same, so that nobody can tell."
  },
  "personal-key": { word: "Personal key", meaning: "A key that clients sign in with." },
  address: { word: "Address", meaning: "Whoever came from there, whatever they tried." }
}

export const kindOrder: ReadonlyArray<SignInSubject> = ["admin", "name", "personal-key", "address"]

const isKind = Schema.is(SignInSubject)

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): SignInsView => ({
  text: (params.get("q") ?? "").slice(0, 128),
  kinds: listed(params.get("kind")).filter(isKind),
  waiting: params.get("waiting") === "1"
})

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = ({ kinds, text, waiting }: SignInsView) =>
  searchOf([
    ["q", text],
    ["kind", kinds.join(",")],
    ["waiting", waiting ? "1" : ""]
  ])

export const isFiltered = (view: SignInsView) => viewSearch(view) !== ""

/** Whom it slows down. The broker does not keep names that nobody has. */
export const subjectOf = ({ kind, subject }: Pick<Failure, "kind" | "subject">) =>
  subject ?? (kind === "name" ? "A name that no admin has" : kinds[kind].word)

export const hasToWait = ({ nextAt }: Pick<Failure, "nextAt">, now: number) => millis(nextAt) > now

export const filtered = (failures: ReadonlyArray<Failure>, { kinds, text, waiting }: SignInsView, now: number) => {
  const wanted = text.trim().toLowerCase()
  return failures.filter(
    (failure) =>
      (wanted === "" || subjectOf(failure).toLowerCase().includes(wanted)) &&
      (kinds.length === 0 || kinds.includes(failure.kind)) &&
      (!waiting || hasToWait(failure, now))
  )
}
