/**
 * What fields and parameters mean, for the OpenAPI document. They stand here and not on the domain's schemas, as those
 * go into every browser. A test fails for whatever has no words here, and for words that nothing needs.
 */

import { eventFields } from "./EventDescriptions.ts"

/** Of what form a parameter is beside, where a schema of texts does not tell. */
interface Parameter {
  readonly description: string
  readonly schema?: { readonly [key: string]: unknown }
}

const moment = { type: "string", format: "date-time" }

/** By name, wherever they are taken; where one means something else to a call, by `operationId.name` as well. */
export const parameters: Readonly<Record<string, Parameter>> = {
  id: { description: "Which one, by its id" },
  "idempotency-key": { description: "Within 24 hours, the same key and body stand for the same request" },
  "if-none-match": { description: "An entity tag of an earlier answer, as RFC 9110 has it" },
  status: {
    description:
      "Any of these; only `online`, `degraded` and `unknown` servers are ever available: the last while so many went silent at once that the broker rather doubts itself. Repeatable"
  },
  group: { description: "In this group or one below it: a path such as `eu/frankfurt`, in any case, or an id" },
  tag: { description: "All of these. Repeatable" },
  label: { description: "All of these, each as `key:value`. Repeatable" },
  capability: { description: "All of these, such as `vpn`. Repeatable" },
  q: { description: "Part of a name, in any case" },
  minVersion: { description: "This version or a later one; servers without a version never fit" },
  near: {
    description:
      "`latitude,longitude` in degrees, or `me` for wherever the request comes from: sorted by load while it is not known where that is",
    schema: { type: "string", examples: ["50.11,8.68", "me"] }
  },
  sort: { description: "By distance where `near` is given, otherwise by name; a minus turns it round" },
  "users.list.sort": { description: "By name unless said otherwise; a minus turns it round" },
  "users.list.q": { description: "Part of a name or an e-mail address, or a whole id" },
  "connections.list.q": {
    description: "Part of the name of a user, a device or a server, or a whole id or a client's address"
  },
  "connections.list.status": { description: "Any of these. Repeatable" },
  limit: {
    description: "How many items a page has",
    schema: { type: "integer", minimum: 1, maximum: 200, default: 50 }
  },
  cursor: { description: "`nextCursor` of the page before, with the same query" },
  from: { description: "This moment or later", schema: moment },
  to: { description: "Before this moment", schema: moment },
  text: { description: "Part of an actor's or a subject's name, an action, an id, an address or a request id" },
  action: { description: "`noun:verb`, or `noun:` for all of a noun" },
  actorKind: { description: "Any of these. Repeatable" },
  actorId: { description: "Whoever did it, by id" },
  "webhooks.deliveries.type": { description: "Of events of any of these types. Repeatable" },
  "webhooks.deliveries.subjectId": { description: "Of events about this one, by its id" },
  subjectKind: { description: "What it was done to" },
  subjectId: { description: "The one that it was done to, by id" },
  outcome: { description: "Whether it was done, or refused" },
  fields: { description: "Which fields are wanted, by name and separated by commas; all unless given" },
  "if-match": {
    description: "An entity tag of what is to be changed: 412 `precondition_failed` if it has changed since"
  },
  view: { description: "`fleet` for every server as admins see it; only for API tokens" },
  search: {
    description: "In the language of the dashboard's search, such as `group:eu -status:offline`; with `view=fleet`"
  },
  verified: { description: "Whether it has proved lately that it holds its key; with `view=fleet`" },
  scope: { description: "`live` for intents and active ones, `over` for the others, `all` unless given" },
  stale: { description: "Whether its server has been offline" },
  verdict: { description: "Any of these. Repeatable" },
  reason: { description: "Ended for any of these. Repeatable" },
  state: { description: "Any of these. Repeatable" },
  userId: { description: "Of this user, by id" },
  deviceId: { description: "Of this device, by id" },
  groupId: { description: "In this group or one below it, by id" },
  list: {
    description: "`due`: to be asked; otherwise how the last question ended, `silent` where it left it unanswered"
  },
  serverId: { description: "Of this server, by id" },
  personalKeyId: { description: "By this personal key, by id" },
  eventId: { description: "Of this event, by id" },
  deliveryId: { description: "Which delivery, by its id" },
  reportId: { description: "Of this saved report, by id" },
  format: { description: "Which of its files" },
  after: { description: "A place in the feed: `next` of an earlier answer, or the `id` of an event of the stream" },
  "last-event-id": { description: "The same, as clients of Server-Sent Events send it by themselves" },
  type: { description: "Any of these types; of all that the token may hear unless given. Repeatable" },
  subject: { description: "What they are about, by id" },
  kind: { description: "Any of these. Repeatable" },
  severity: { description: "Any of these. Repeatable" }
}

/** What means the same wherever it stands, unless a schema says otherwise. */
export const common: Readonly<Record<string, string>> = {
  id: "A UUID, given by the broker; it never changes",
  name: "What people call it",
  items: "This page, in the order of the list",
  nextCursor: "Pass it as `cursor` to get the next page; null at the end of the list",
  createdAt: "When it was made",
  createdBy: "Who made it, by name",
  hint: "The start of the secret, to know it again",
  key: "The secret itself, shown this once",
  state: "Worked out from the clock and from what admins did",
  reason: "Why, for the audit log and for whoever it concerns",
  revokedAt: "When an admin revoked it; null if none did",
  liveConnections: "Intents and active connections",
  note: "For admins; empty where there is none",
  email: "Unique in the organization, whatever its case; null where there is none",
  expiresAt: "Until when it is good",
  lastSeenAt: "When it was heard last; null if never",
  serverId: "The server's id",
  userId: "The user's id",
  deviceId: "The device's id",
  token: "The new token, shown this once",
  signature: "An Ed25519 signature: 64 bytes as base64url without padding",
  publicKey: "A raw Ed25519 public key: 32 bytes as base64url without padding",
  timestamp: "The sender's clock as RFC 3339, exactly as it was signed; at most 5 minutes off the broker's"
}

/** What a server says of itself, on joining and later. */
const said = {
  version: "Of the software that runs it, such as `1.4.2`",
  endpoints: "Where clients reach it",
  capabilities: 'What it can do, each with details of its own, such as `{ "vpn": { "ipv6": true } }`',
  tags: "Free words to find it by",
  labels: 'Keys with values to find it by, such as `{ "rack": "b2" }`',
  location: "Where it says it is"
}

const server = {
  ...said,
  version: "Of the software that runs it; null if it never said",
  name: "Unique in the organization, whatever its case",
  admission: "Whether an admin lets it in. `retired` is for good",
  liveness: "Whether the broker hears from it",
  duty: "Whether it wants new connections: only while it is `serving`",
  verified: "Whether it has proved lately that it holds its private key",
  tags: "Its own, and those that admins gave it",
  labels: "Its own, and those that admins gave it",
  group: "The path of its group, such as `eu/frankfurt`; null for none",
  location: "Where it says it is; null if it never said",
  publicAddress: "Where its requests come from, as the broker sees it",
  registeredAt: "When it joined"
}

const registered = {
  server: "The server as the broker knows it now",
  token: "The server's bearer from now on, readable in this answer only",
  heartbeatIntervalSeconds: "How far apart heartbeats are meant to be",
  challenge: "To be answered at once, so that the server is verified; null where there is none"
}

/** A connection, as either side is shown it. */
const connection = {
  status:
    "`intent`: granted, and on its way; `active`: the server accepted it; `ended`; `expired`: it never came to be; `refused` by the server",
  serverName: "As the server was called then",
  createdAt: "When it was asked for",
  expiresAt: "Until when the intent waits for the server to report it active",
  grantExpiresAt: "Until when the server accepts the grant",
  activeAt: "When the server reported it active; null if it never did",
  staleSince: "Since when its server has been offline",
  endedAt: "When it ended; null while it lives",
  endedBy: "Who ended it first",
  endReason: "A word of the broker's, such as `server_lost` or `key_revoked`, or what that side gave as its reason",
  rttMs: "The round trip, in milliseconds, as the client measured last",
  rxBytes: "What the client received",
  txBytes: "What the client sent",
  lossRatio: "Lost packets, from 0 to 1"
}

/** What a group says of its servers. */
const policy = {
  name: "Its own part of the path; unique in the group above, whatever its case",
  parentId: "The group that it stands in; null at the top",
  heartbeatIntervalSeconds: "How far apart its servers send heartbeats; null leaves it to the group above",
  verificationPeriodSeconds: "How often its servers prove who they are; null leaves it to the group above",
  connectionLimit: "How many connections each of its servers takes at once; null leaves it to the group above"
}

const group = {
  ...policy,
  path: "The names from the top down, such as `eu/frankfurt`",
  depth: "How many groups stand above it",
  effectiveHeartbeatIntervalSeconds: "What holds, its own or from above; null where the broker's settings do",
  effectiveVerificationPeriodSeconds: "What holds, its own or from above; null where the broker's settings do",
  effectiveConnectionLimit: "What holds, its own or from above; null where the broker's settings do"
}

const personalKey = {
  name: "Where it is used, such as `laptop`; it need not be unique",
  connectionLimit: "How many connections it may have open at once",
  expiresAt: "Until when it is good; null for a key that does not expire",
  lastUsedAt: "When a client last signed in with it; null if none did",
  lastAddress: "Where a client last signed in from with it; null if none did",
  replacedBy: "The key that took its place, by id; it goes on until its overlap is over",
  revokedReason: "Why, where an admin said so",
  liveConnections: "Intents and active connections that it opened"
}

const newRegistrationKey = {
  name: "What it is for; it need not be unique",
  useLimit: "How many servers it lets in",
  tags: "What servers get on joining",
  approval: "Whether servers wait for an admin's approval",
  replacesServerId: "The server whose key pair it may replace; null for a key that lets new servers in",
  groupId: "The group that servers join; null for none"
}

const person = "The person's name; it need not be unique"

const user = {
  name: person,
  state: "A suspended user can neither sign in nor connect",
  stateReason: "Why, where an admin said so",
  stateSince: "Since when they have been in this state",
  lastSeenAt: "When one of their devices last signed in; null if none did"
}

const availability = {
  up: "Seconds in which servers were online or degraded",
  down: "Seconds in which they were offline",
  unknown: "Seconds in which the fleet guard held them",
  excluded: "Seconds that count for nobody: outages of the broker, maintenance, and when a server was not let in",
  share: "`up / (up + down)`; null where there was neither"
}

const metrics = {
  rttMs: "The round trip, in milliseconds",
  lossRatio: "Lost packets, from 0 to 1",
  rxBytes: "Received, in all since the connection began, as this side counts",
  txBytes: "Sent, in all since the connection began, as this side counts"
}

const criteria = {
  status: "Any of these; only `online`, `degraded` and `unknown` servers are ever available",
  group: "In this group or one below it, by path or id",
  tag: "All of these",
  label: "All of these, each as `key:value`",
  capability: "All of these",
  q: "Part of a name, in any case",
  minVersion: "This version or a later one; servers without a version never fit",
  near: "`latitude,longitude` in degrees, `me`, or an object of both",
  sort: "What to choose by; by load unless said otherwise, or by distance where `near` is given"
}

const webhook = {
  name: "What it is for; it need not be unique",
  url: "Where requests go",
  types: "What it listens to",
  version: "Of the payload that it is sent: the one of the day it was made, until somebody changes it",
  state:
    "`active`: events are sent as they come; `resting`: after failures, tried from time to time; `paused`: nothing is sent",
  pausedBecause: "Who paused it: an `admin`, or the broker, as it was `failing`",
  pausedAt: "When; null while it is not paused",
  restsUntil: "When a resting one is tried next",
  failuresInRow: "How many attempts failed since the last that did not",
  failingSince: "Since when nothing got through",
  lastProblem: "What was wrong the last time",
  lastSuccessAt: "When something last got through",
  lastFailureAt: "When an attempt last failed",
  pending: "How many deliveries wait: 1,001 for more than 1,000",
  secrets: "The one of now, and for a day after a rotation the one before: requests are signed with each"
}

const newReport = {
  name: "Unique in the organization, whatever its case",
  parameters: "What it is about",
  formats: "Which files are made",
  schedule: "When it is made; null for one that is only made when somebody asks",
  emails: "Whom its files are sent to",
  webhook: "Whether `report.ready` is told when it was made"
}

/** By schema and field; `outer.inner` for a field of an object that has no schema of its own. */
export const fields: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Server: server,
  DiscoveredServer: {
    ...server,
    load: "How much of its limit of connections is in use, from 0 to 1",
    distanceKm: "To the place that was asked about; null where either is unknown"
  },
  FleetServer: {
    ...server,
    status: "Where it stands, in one word: the most important first",
    statusReason: "Why, as a stable word such as `missed_heartbeats`; null where the status says it all",
    statusSince: "Since when it has had this status",
    activeConnections: "How many connections are open on it, as it tells",
    liveConnections: "Intents and active connections, as the broker counts",
    connectionLimit: "How many there may be at once",
    metrics: "The latest of what it measures itself, by name",
    heartbeatIntervalSeconds: "The interval it was last told; null if none was",
    verifiedAt: "When it last proved that it holds its key; null if never",
    available: "Whether it is offered to clients",
    groupId: "The group's id; null for none",
    declaredTags: "Those of its tags that it says of itself",
    declaredLabels: "Those of its labels that it says of itself",
    assignedTags: "Those of its tags that admins gave it",
    assignedLabels: "Those of its labels that admins gave it",
    ownConnectionLimit: "Its own limit; null where its group's, or the broker's, holds",
    skewSeconds: "How far its clock is off; positive is ahead",
    falls: "How often it fell silent lately"
  },
  VerifiedServer: {
    group: "The path of its group; null for none",
    verified: "Whether it has proved lately that it holds its private key",
    verifiedAt: "When it last did; null if never",
    dueAt: "When it is asked next; null where it is not",
    risk: "Why it is asked before its time",
    last: "The last question; null where none was asked yet",
    silences: "How many questions in a row it left unanswered",
    reason: "Why it is in doubt, in a sentence; null where it is not"
  },
  LastQuestion: {
    purpose: "Why it was asked",
    state: "How it ended; `open` while it may still be answered",
    at: "When",
    latencyMillis: "From the question to the answer; null where there was none"
  },
  CapabilityStanding: {
    capability: "As the server calls it",
    standing: "`declared`: there is no check for it, or none was made yet; otherwise as the last check found",
    checkable: "Whether the broker has a check for it",
    reason: "What the last check found wrong; null where it did not",
    checkedAt: "When it was checked last; null if never"
  },
  ServerNote: { body: "The text", author: "Who wrote it, by name", authorId: "Who wrote it, by id" },
  ServerAvailability: {
    ...availability,
    falls: "How often it fell silent",
    spans: "What happened, in order",
    days: "The same by the day, in UTC",
    outages: "When no node of the broker was alive",
    windows: "Maintenance that was announced for it"
  },
  AvailabilitySpan: {
    from: "When it began",
    to: "When it ended, or the range did",
    state: "`outage` of the broker and `maintenance` count for nobody, nor does `out`: not let in yet, or shut out"
  },
  AvailabilityDay: { ...availability, day: "As `2026-11-22`" },
  GroupAvailability: {
    ...availability,
    groupId: "The group's id; null for the whole fleet",
    path: "The group's path; null for the whole fleet",
    servers: "How many it is about, with those of groups below"
  },
  BrokerOutage: { beganAt: "When the last node went away", endedAt: "When the first was back" },
  ListedWindow: {
    serverId: "The server it is about; null for a group or the fleet",
    groupId: "The group it is about, with all below; null for a server or the fleet",
    reason: "Why, as whoever announced it wrote",
    startsAt: "When it begins",
    endsAt: "When it ends",
    about: "The server's name or the group's path; null for the whole fleet"
  },
  FleetGuard: {
    beganAt: "When so many fell silent at once",
    endedAt: "When it ended; null while it holds",
    end: "How: all were `recovered`, the number was `steady`, an admin `confirmed` that they are gone, or it `expired`",
    endedBy: "Who said that they are gone; null if nobody did",
    expected: "How many servers were live when it began",
    seen: "How many of those are heard",
    held: "How many are held as unknown",
    cause: "What the silent ones have in common",
    causeDetail: "The network, group or version that they have in common; null where there is none",
    steadySince: "Since when the number held has not moved; null where it moves",
    endsAt: "When it ends by itself if nothing moves; null where it does not"
  },
  ListedAdmin: {
    name: "What they sign in by",
    role: "Their role, by id",
    roleName: "What the role is called",
    state: "Whether they can sign in",
    factors: "What they enrolled beside a password",
    singleSignOn: "Whether they ever signed in through the identity provider",
    sessions: "How many of theirs are open",
    lastSignInAt: "When they last did; null if never"
  },
  Factors: {
    totp: "Whether an app gives them codes",
    passkeys: "How many there are",
    recoveryCodes: "How many are left"
  },
  Role: {
    id: "A name of a role that comes with the broker, or a UUID",
    description: "What it is for",
    permissions: "What whoever has it may do",
    builtIn: "Whether it comes with the broker",
    admins: "How many have it"
  },
  ApiToken: {
    ownerId: "Whose it is, by id",
    ownerName: "Whose it is",
    scopes: "What it was made for",
    networks: "Where it may come from; everywhere where there are none",
    lastUsedAt: "When it was last used; null if never",
    lastAddress: "Where from; null if never",
    idle: "Those of its scopes that its owner has no permission for: they do nothing"
  },
  ServerChanges: {
    groupId: "The group to put it into; null for none",
    assignedTags: "What admins say of it from now on: all of it. Not with `tags`",
    assignedLabels: "What admins say of it from now on: all of it. Not with `labels`",
    tags: "What to give and to take of admins' tags",
    "tags.add": "To give; what is given and taken is given",
    "tags.remove": "To take",
    labels: "What to give and to take of admins' labels",
    "labels.set": "To give, or to change",
    "labels.remove": "To take, by their keys",
    ownConnectionLimit: "How many connections it takes at once; null leaves it to its group"
  },
  DutyChange: { duty: "`draining` and `maintenance` take no new connections; open ones stay" },
  Group: group,
  GroupInTree: {
    ...group,
    servers: "How many stand in the group itself, retired ones left out",
    serversBelow: "How many stand in it or below",
    availableBelow: "How many of those can be offered to clients now"
  },
  NewGroup: policy,
  GroupPatch: policy,
  GroupInUse: {
    servers: "How many stand in it",
    groups: "How many stand in it",
    registrationKeys: "How many let servers into it",
    maintenanceWindows: "How many are announced for it"
  },
  ListedUser: { ...user, keys: "How many can still be used", devices: "How many have signed in" },
  NewUser: { name: person },
  UserPatch: { name: person, email: "Unique in the organization, whatever its case; null takes it away" },
  PersonalKey: personalKey,
  CreatedPersonalKey: personalKey,
  NewPersonalKey: {
    name: "Where it is used, such as `laptop`; it need not be unique",
    expiresInSeconds: "For how long it is good, ten years at most; null for a key that does not expire",
    connectionLimit: "How many connections it may have open at once; null for what is usual"
  },
  KeyOverlap: { overlapSeconds: "For how long the old key goes on; 0 ends it at once" },
  Device: {
    fingerprint: "What the device is known by",
    platform: "As the client said, in lower case",
    publicKey: "What its grants are bound to; null where it has none",
    connectionLimit: "How many connections it may have open at once",
    createdAt: "When it first signed in",
    lastSeenAt: "When it last signed in",
    lastAddress: "Where it last signed in from",
    blockedAt: "When an admin blocked it; null if none did",
    blockedReason: "Why, where an admin said so"
  },
  RegistrationKey: { ...newRegistrationKey, uses: "How many it has let in" },
  CreatedRegistrationKey: { ...newRegistrationKey, uses: "How many it has let in" },
  NewRegistrationKey: {
    ...newRegistrationKey,
    useLimit: "How many servers it lets in; 1 unless given",
    approval: "Whether servers wait for an admin's approval; they do not unless given",
    expiresInSeconds: "For how long it is good, 400 days at most"
  },
  Endpoint: {
    protocol: "What is spoken there, such as `webrtc`",
    host: "A name or an IP address",
    port: "Of TCP or UDP"
  },
  Location: { latitude: "In degrees, north is positive", longitude: "In degrees, east is positive" },
  Registration: {
    ...said,
    name: "What people will call the server; unique in the organization, whatever its case"
  },
  Registered: registered,
  RegisteredAgain: registered,
  ServerPatch: { ...said, duty: "`draining` and `maintenance` take no new connections; open ones stay" },
  NewToken: { token: "The new bearer. The old one works until this one is first used, 4 hours at most" },
  KeyRotation: {
    publicKey: "The new key: 32 bytes as base64url without padding",
    signature: "Of the string by the old private key",
    proof: "Of the same string by the new private key"
  },
  PendingChallenge: {
    nonce: "To be signed as it stands here",
    expiresAt: "Until when an answer counts; to be signed exactly as it stands here"
  },
  ChallengeAnswer: { signature: "By the server's private key, as base64url without padding" },
  Verification: { verified: "Always true: a wrong signature is a problem", verifiedAt: "When the proof was taken" },
  Heartbeat: {
    bootId: "New at each start of the server",
    seq: "Counts up within one boot; with `bootId` it orders heartbeats",
    sentAt: "The server's clock; the broker tells how far it is off",
    activeConnections: "How many connections are open on the server",
    metrics:
      "Numbers by name, at most 64. `cpu` (0 to 1), `memory…` (bytes), `rxBytes`, `txBytes` and `rttMs` are understood, any other is kept and drawn",
    connections:
      "Every connection that is open on the server, by id: what is missing, the broker ends. Left out, it does not compare",
    cutCursor: "`cuts.cursor` of the last answer: all orders up to it were heard"
  },
  HeartbeatReply: {
    liveness: "Whether the broker hears from it, from now on",
    admission: "Whether an admin lets it in",
    nextHeartbeatSeconds: "Wait so long before the next one",
    time: "The broker's clock",
    challenge: "To be answered before it expires; null where there is none",
    cuts: "Connections to end at once",
    "cuts.cursor": "To send as `cutCursor` once they are ended",
    "cuts.connections": "Each with why",
    notices: "`rotate-key` asks for a new key pair; whatever else stands here is for people"
  },
  CutOrder: { id: "The connection's id", reason: "A word of the broker's, such as `key_revoked`" },
  ServerReport: {
    status: "`active` once the grant was good and the connection is open, and again for progress",
    reason: "Why it ended or was refused, in a word of the server's own",
    metrics: "As the server counts"
  },
  ClientReport: {
    status: "`ended`, once the client is done",
    reason: "Why it ended, in a word of the client's own",
    metrics: "As the client counts. What is left out stays"
  },
  ConnectionMetrics: metrics,
  ClientSignIn: { device: "What the client runs on: registered when it first signs in" },
  DeviceStatement: {
    fingerprint: "Chosen by the client and kept for as long as it is installed; what the device is known by",
    name: "What people will call it",
    platform: "Such as `linux`, `macos`, `windows`, `android` or `ios`",
    publicKey: "What its grants are bound to: a raw Ed25519 key as base64url without padding"
  },
  ClientSignedIn: {
    token: "The bearer of a client, good for minutes",
    expiresAt: "Until when the token is good; sign in again then",
    user: "Whose personal key it was",
    device: "As it is registered"
  },
  OwnUser: { name: person, email: "Null where there is none" },
  OwnDevice: {
    fingerprint: "What the device is known by",
    platform: "As the client said, in lower case",
    publicKey: "What its grants are bound to; null where it has none",
    createdAt: "When it first signed in"
  },
  ClientLimits: {
    connectionsPerKey: "How many connections of this personal key may be open at once",
    connectionsPerDevice: "How many connections of this device may be open at once",
    devicesPerUser: "How many devices the user may have"
  },
  Me: {
    user: "Whose client it is",
    device: "What it runs on",
    limits: "How much may be at once",
    connections: "Intents and active connections of this device"
  },
  Criteria: criteria,
  Connection: connection,
  LedgerConnection: {
    ...connection,
    userName: "Whose it is",
    personalKeyId: "By which key, by id",
    personalKeyName: "What the key is called",
    deviceName: "What the device is called",
    platform: "What the device runs",
    clientAddress: "Where the client asked from",
    clientOpenedAt: "When the client first reported it open",
    clientReportedAt: "When the client last reported",
    clientEndedAt: "When the client told its end",
    clientReason: "Why it ended, as the client told",
    clientRxBytes: "What the client received, as it counts",
    clientTxBytes: "What the client sent, as it counts",
    serverReportedAt: "When the server last reported",
    serverEndedAt: "When the server told its end",
    serverReason: "Why it ended, as the server told",
    serverRxBytes: "What the server received, as it counts: the client's the other way round",
    serverTxBytes: "What the server sent, as it counts: the client's the other way round",
    verdict:
      "What the two accounts come to. `confirmed`: both told its end, and count alike; `client_only`, `server_only`: the other never told; `byte_mismatch`: their bytes differ. Null until it is settled",
    settledAt: "When both had told, or the broker waited no longer",
    cutOrderedAt: "When its server was told to cut it; null if it never was",
    cutOrderedBy: "By whose order",
    cutConfirmedAt: "When its server had cut it"
  },
  ConnectionByServer: { serverId: "The server to connect to" },
  ConnectionBySelection: { select: "What the server has to be like: the broker chooses the best" },
  ConnectionGranted: {
    connection: "An intent, until the server reports it active",
    grant: "A compact JWS (EdDSA, `typ` `grant+jwt`) to show to the server, and to nobody else",
    server: "Where to go with the grant",
    explanation: "Why this server, where the broker chose"
  },
  Explanation: {
    sort: "What it was chosen by",
    load: "How busy it is, from 0 to 1",
    distanceKm: "How far it is from the place that was asked about; null where either is unknown",
    passedOver: "Better ones that filled up, or went away, in that very moment",
    "passedOver.reason": "Why not that one"
  },
  AuditEntry: {
    seq: "Its number in the organization's chain: from 1 on, without a gap",
    at: "When it happened",
    actorKind:
      "What kind of actor. `database` is whoever changed the database without saying who they are: a prompt, or a broker of an older release",
    actorId: "Who did it, by id; null where there is none",
    actorName: "As the actor was called then",
    address: "Where the request came from",
    requestId: "As in `X-Request-Id` of the answer",
    action: "`noun:verb`",
    subjectKind: "What it was done to",
    subjectId: "The one it was done to, by id",
    outcome: "Whether it was done, or refused",
    details: "What else there is to say, by the action",
    changes: "The rows that the act changed",
    hash: "SHA-256 over the hash before it and all of the above, as hex"
  },
  AuditChange: {
    table: "Where the row stands",
    id: "Of the row",
    before: "The fields that differ, as they were; secrets are `(hidden)`. Null of what is new",
    after: "The fields that differ, as they are. Null of what is gone"
  },
  ...eventFields,
  RateLimited: {
    budget: "Which limit was reached, as `RateLimit-Policy` names it",
    retryAfterSeconds: "As in `Retry-After`"
  },
  TooManyAttempts: { retryAfterSeconds: "As in `Retry-After`" },
  ValidationFailed: {
    errors: "Each value that is wrong",
    "errors.pointer":
      "Where it is: a JSON Pointer (RFC 6901) into the body; `/query/…`, `/path/…` or `/headers/…` elsewhere",
    "errors.message": "What it has to be"
  },
  PermissionMissing: { permission: "What the token's scopes, or its owner's role, do not hold" },
  ConnectionLimitReached: { scope: "What is full" },
  MoreThanHeld: { permissions: "Those that are not held" },
  WebhookTargetRefused: {
    reason: "`http`: it is not https; `address`: it is no public address; `unresolved`: nobody knows the name"
  },
  Webhook: webhook,
  CreatedWebhook: { ...webhook, secret: "What signs its requests, shown this once" },
  WebhookSecret: {
    hint: "Its first characters, to tell it from another",
    expiresAt: "When it stops to sign, after a rotation; null for the one of now"
  },
  WebhookRequest: {
    name: "What it is for; it need not be unique",
    url: "Where to send: https, and to be reached by everybody",
    types: "What to listen to"
  },
  WebhookChanges: {
    name: "What it is for; it need not be unique",
    url: "Where to send: https, and to be reached by everybody",
    types: "What to listen to from now on",
    version: "Of the payload that it is sent from now on"
  },
  WebhookDelivery: {
    webhookId: "The webhook's id",
    eventId: "The `webhook-id` of its requests: the same however often the event is sent",
    type: "Of the event",
    subject: "What the event is about",
    state: "`gave_up`: not accepted within three days of its first attempt, or gone before its turn came",
    attempts: "How many there were",
    nextAttemptAt: "Null where it waits for an earlier one of its subject, and when it has ended",
    lastStatus: "Of the last answer; null where there was none",
    lastProblem: "Why the last attempt failed; null where it did not",
    endedAt: "When it was delivered, or given up",
    replayOf: "The delivery that this one repeats, by id"
  },
  WebhookAttempt: {
    at: "When the request was sent",
    durationMillis: "How long it took",
    status: "Of the answer; null where there was none",
    problem: "Why it counts as failed; null where it did not",
    requestHeaders: "As sent",
    requestBody: "As sent; null once the event is past its time",
    responseHeaders: "As answered",
    responseBody: "The first 4 kB of the answer"
  },
  DeliveryDetails: { delivery: "The event on its way", attempts: "Each request and what came back, the first first" },
  ReplayOfOne: { deliveryId: "The delivery to repeat, by id" },
  ReplayOfRange: {
    after: "Events after this place of the feed",
    upTo: "Events up to this place of the feed, itself with them",
    from: "Events of this moment or later",
    to: "Events before this moment",
    types: "Of those that the webhook listens to; all of them where there are none"
  },
  Replayed: {
    deliveries: "How many were added",
    more: "Whether there were more than one replay takes: go on from `next`",
    next: "The place of the last event that was taken"
  },
  Report: {
    ...newReport,
    updatedAt: "When it was last changed",
    nextAt: "When it is due next; null without a schedule"
  },
  ReportRequest: newReport,
  ReportChanges: newReport,
  ReportParameters: {
    kind: "Which report",
    range: "Which time it is about",
    timeZone: "Where days begin, such as `Europe/Berlin`",
    groupId: "Only this group and all below it; null for the whole organization",
    compare: "Whether the time before, of equal length, stands beside it"
  },
  RangeBetween: { kind: "Two moments", from: "The first", to: "The end, itself outside; 400 days later at most" },
  RangeByName: { kind: "By name", name: "Counted back from the day on which it is made; weeks begin on Mondays" },
  RangeInDays: { kind: "So many days", days: "How many, and not the one that is still going on" },
  ReportSchedule: {
    cron: "Minute, hour, day of the month, month, day of the week, such as `0 7 * * 1`",
    timeZone: "Whose hours these are, such as `Europe/Berlin`"
  },
  ReportRun: {
    reportId: "Of which saved report, by id; null for one that was never saved",
    name: "As the report was called then; the kind of one that was never saved",
    parameters: "What it is about",
    from: "Where its time begins",
    to: "Where its time ends",
    slotAt: "Which time of the schedule it was made for; null when somebody asked",
    requestedBy: "Who asked for it, by name",
    state: "How far it is",
    problem: "Why it failed",
    complete: "Whether the time was over and counted when it was made: then the same bytes come of it again",
    createdAt: "When it was asked for",
    finishedAt: "When it was done, or failed",
    files: "What can be downloaded",
    mail: "What became of its e-mail; null where nobody is to get one"
  },
  ReportRunRequest: { parameters: "What it is about", formats: "Which files are made" },
  ReportFile: {
    format: "As the download's address has it",
    bytes: "How large it is",
    sha256: "Of its bytes, in hexadecimal digits"
  },
  ReportMail: {
    state: "What became of it",
    to: "Whom it goes to",
    attempts: "How many there were",
    problem: "Why the last attempt failed",
    nextAttemptAt: "When it is tried again; null when it is not"
  },
  ReportData: {
    kind: "Which report",
    title: "As it stands at its head",
    group: "The group's path; null for the whole organization",
    from: "Where its time begins",
    to: "Where its time ends",
    previous: "The time before, where it is compared",
    "previous.from": "Where it begins",
    "previous.to": "Where it ends",
    timeZone: "Where days begin",
    step: "Of what the points of series are sums or means",
    complete: "Whether the time is over and all of it is counted",
    notes: "What is left out, and why: what is past the time for which it is kept",
    figures: "Numbers that stand for the whole time",
    series: "Numbers as they went",
    tables: "What stands behind them"
  },
  ReportFigure: {
    id: "A stable word, for programs",
    label: "The same for people",
    unit: "How the value is written: `share` is of 1, `seconds` are a length of time, `time` is an RFC 3339 time",
    value: "Null where nothing was measured, which is not zero",
    previous: "Of the time before; null without comparison, too",
    better: "Whether more of it is good news, bad news or neither"
  },
  ReportSeries: {
    id: "A stable word, for programs",
    label: "The same for people",
    unit: "How values are written",
    points: "In order of time"
  },
  ReportPoint: {
    at: "Where its hour or day begins",
    value: "Null is a gap",
    previous: "At the same place in the time before"
  },
  ReportTable: {
    id: "A stable word, for programs",
    title: "The same for people",
    columns: "From left to right",
    rows: "As many cells as there are columns; at most 100 rows",
    total: "How many rows there are in all"
  },
  ReportColumn: { id: "A stable word, for programs", label: "The same for people", unit: "How cells are written" }
}
