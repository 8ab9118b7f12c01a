/** What arrives from the broker, decoded by the domain's own schemas. */
import { Analytics } from "@broker/domain/Analytics"
import { ConnectionCounts, Cut, CutPreview, LedgerConnection } from "@broker/domain/Connection"
import { Device } from "@broker/domain/Device"
import { type ChallengeSummary, LiveEvent, Overview, ServerHistory } from "@broker/domain/Fleet"
import { CreatedPersonalKey, PersonalKey } from "@broker/domain/PersonalKey"
import { Page } from "@broker/domain/Primitives"
import { CreatedRegistrationKey, RegistrationKey } from "@broker/domain/RegistrationKey"
import { FleetServer, type Transition } from "@broker/domain/Server"
import { Session } from "@broker/domain/Session"
import { ListedUser, UserActivity, UsersPage } from "@broker/domain/User"
import { Schema } from "effect"

export type ServerView = typeof FleetServer.json.Type
export type TransitionView = typeof Transition.json.Type
export type KeyView = typeof RegistrationKey.json.Type
export type ChallengeView = typeof ChallengeSummary.Type
export type ConnectionView = typeof LedgerConnection.json.Type
export type CutView = typeof Cut.json.Type
export type UserView = typeof ListedUser.json.Type
export type PersonalKeyView = typeof PersonalKey.json.Type
export type DeviceView = typeof Device.json.Type
export type LiveNews = typeof LiveEvent.Type

export const decodeServer = Schema.decodeUnknownSync(FleetServer.json)
export const decodeServers = Schema.decodeUnknownSync(Schema.Array(FleetServer.json))
export const decodeServersPage = Schema.decodeUnknownSync(Page(FleetServer.json))
export const decodeHistory = Schema.decodeUnknownSync(ServerHistory)
export const decodeOverview = Schema.decodeUnknownSync(Overview)
export const decodeLiveEvent = Schema.decodeUnknownSync(LiveEvent)
export const decodeSession = Schema.decodeUnknownSync(Session)
export const decodeKeysPage = Schema.decodeUnknownSync(Page(RegistrationKey.json))
export const decodeCreatedKey = Schema.decodeUnknownSync(CreatedRegistrationKey)
export const decodeConnection = Schema.decodeUnknownSync(LedgerConnection.json)
export const decodeConnectionsPage = Schema.decodeUnknownSync(Page(LedgerConnection.json))
export const decodeConnectionCounts = Schema.decodeUnknownSync(ConnectionCounts)
export const decodeCuts = Schema.decodeUnknownSync(Schema.Array(Cut.json))
export const decodeCutPreview = Schema.decodeUnknownSync(CutPreview)
export const decodeAnalytics = Schema.decodeUnknownSync(Analytics)
export const decodeUser = Schema.decodeUnknownSync(ListedUser.json)
export const decodeUsersPage = Schema.decodeUnknownSync(UsersPage)
export const decodeActivity = Schema.decodeUnknownSync(Schema.Array(UserActivity))
export const decodePersonalKeys = Schema.decodeUnknownSync(Schema.Array(PersonalKey.json))
export const decodeCreatedPersonalKey = Schema.decodeUnknownSync(CreatedPersonalKey)
export const decodeDevices = Schema.decodeUnknownSync(Schema.Array(Device.json))
