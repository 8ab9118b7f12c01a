/** Verification in words. */
import type { ChallengeState } from "@broker/domain/Challenge"
import { Page } from "@broker/domain/Primitives"
import {
  VerificationFigures,
  type VerificationQuery,
  type VerificationRisk,
  VerifiedServer
} from "@broker/domain/Verification"
import { Schema } from "effect"
import type { Tone } from "./status.ts"

export const decodeVerificationFigures = Schema.decodeUnknownSync(VerificationFigures)
export const decodeVerifiedPage = Schema.decodeUnknownSync(Page(VerifiedServer))

type ListName = VerificationQuery["list"]

/** Why a server is asked before its time. */
export const riskWords: Record<VerificationRisk, string> = {
  none: "None: it is asked in its turn",
  new_network: "It came from another network",
  new_version: "It runs another version",
  new_boot: "It was started anew",
  new_capability: "It says that it can do more"
}

export const verificationLists: Record<
  ListName,
  { readonly word: string; readonly meaning: string; readonly none: string }
> = {
  due: {
    word: "Due",
    meaning: "Who is asked next, the soonest first.",
    none: "Nobody is to be asked. Servers that are let in get their turn by themselves."
  },
  failed: {
    word: "Failed",
    meaning: "Who answered wrongly, the latest first.",
    none: "Nobody has failed. Whoever signs with a wrong key is suspended at once and shows up here."
  },
  silent: {
    word: "Silent",
    meaning: "Who left questions unanswered, the latest first.",
    none: "Nobody keeps silent. Whoever leaves questions unanswered shows up here."
  },
  passed: { word: "Passed", meaning: "Who proved its key, the latest first.", none: "Nobody has passed yet." }
}

export const verificationListOrder: ReadonlyArray<ListName> = ["due", "failed", "silent", "passed"]

/** A share of questions that were passed, cut off rather than rounded: only all are 100 %. */
export const rateWords = (rate: number | null) => (rate === null ? "–" : `${Math.floor(rate * 1_000 + 1e-9) / 10} %`)

export const challengeStates: Record<ChallengeState, { readonly word: string; readonly tone: Tone }> = {
  open: { word: "Waits for the answer", tone: "info" },
  passed: { word: "Passed", tone: "ok" },
  failed: { word: "Failed", tone: "bad" },
  expired: { word: "Never answered", tone: "warn" },
  superseded: { word: "Replaced by another", tone: "idle" }
}
