/** What arrives from the broker, decoded by the domain's own schemas. */
import { type ChallengeSummary, LiveEvent, Overview, ServerHistory } from "@broker/domain/Fleet"
import { Page } from "@broker/domain/Primitives"
import { CreatedRegistrationKey, RegistrationKey } from "@broker/domain/RegistrationKey"
import { FleetServer, type Transition } from "@broker/domain/Server"
import { Session } from "@broker/domain/Session"
import { Schema } from "effect"

export type ServerView = typeof FleetServer.json.Type
export type TransitionView = typeof Transition.json.Type
export type KeyView = typeof RegistrationKey.json.Type
export type ChallengeView = typeof ChallengeSummary.Type

export const decodeServer = Schema.decodeUnknownSync(FleetServer.json)
export const decodeServers = Schema.decodeUnknownSync(Schema.Array(FleetServer.json))
export const decodeServersPage = Schema.decodeUnknownSync(Page(FleetServer.json))
export const decodeHistory = Schema.decodeUnknownSync(ServerHistory)
export const decodeOverview = Schema.decodeUnknownSync(Overview)
export const decodeLiveEvent = Schema.decodeUnknownSync(LiveEvent)
export const decodeSession = Schema.decodeUnknownSync(Session)
export const decodeKeysPage = Schema.decodeUnknownSync(Page(RegistrationKey.json))
export const decodeCreatedKey = Schema.decodeUnknownSync(CreatedRegistrationKey)
