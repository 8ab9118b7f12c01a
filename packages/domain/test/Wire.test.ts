import { Admin, ListedAdmin, SignedIn } from "@broker/domain/Admin"
import { Invitation } from "@broker/domain/AdminLink"
import { AdminSession } from "@broker/domain/AdminSession"
import { ApiToken, ApiTokenRequest, CreatedApiToken } from "@broker/domain/ApiToken"
import { Challenge, PendingChallenge } from "@broker/domain/Challenge"
import { LiveEvent, Overview, ServerHistory, ServersQuery } from "@broker/domain/Fleet"
import { Heartbeat, HeartbeatReply } from "@broker/domain/Heartbeat"
import { BuiltInRole, builtInPermissions } from "@broker/domain/Permission"
import { problems } from "@broker/domain/Problems"
import { Registration } from "@broker/domain/Registration"
import { CreatedRegistrationKey, RegistrationKey, RegistrationKeyRequest } from "@broker/domain/RegistrationKey"
import { Role, RoleEffect, RoleRequest } from "@broker/domain/Role"
import { Passkey } from "@broker/domain/SecondFactor"
import { SecurityPolicy } from "@broker/domain/SecurityPolicy"
import { FleetServer, Server, ServerPatch, ServerToken, Transition } from "@broker/domain/Server"
import { assert, describe, it } from "@effect/vitest"
import { Exit, Redacted, Schema } from "effect"
import { sentName, timestamp } from "./arbitraries.ts"

/** Everything that crosses the wire, in either direction. */
const shapes = {
  "Admin.json": Admin.json,
  AdminSession,
  "ApiToken.json": ApiToken.json,
  ApiTokenRequest,
  "Challenge.json": Challenge.json,
  "FleetServer.json": FleetServer.json,
  HeartbeatReply,
  Invitation,
  ListedAdmin,
  LiveEvent,
  Overview,
  PendingChallenge,
  "RegistrationKey.json": RegistrationKey.json,
  RegistrationKeyRequest,
  Role,
  RoleEffect,
  RoleRequest,
  SecurityPolicy,
  "Server.json": Server.json,
  ServerHistory,
  ServerPatch,
  ServersQuery,
  SignedIn,
  "Transition.json": Transition.json
} satisfies Record<string, Schema.Codec<unknown, unknown>>

/** What JSON makes of a value, which knows no -0. */
const sentOver = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe("The wire", () => {
  for (const [name, shape] of Object.entries(shapes)) {
    const schema: Schema.Codec<unknown, unknown> = shape
    it.prop(
      `${name} survives it`,
      [schema],
      ([value]) => {
        const text = JSON.stringify(Schema.encodeUnknownSync(schema)(value))
        const back = Schema.decodeUnknownSync(schema)(JSON.parse(text))
        assert.deepStrictEqual(Schema.encodeUnknownSync(schema)(back), JSON.parse(text))
      },
      // Smaller, the more there is in it that few random texts fit.
      { arbitrary: { runs: 30, size: name === "FleetServer.json" ? 3 : 8, maxDiscards: 100_000 } }
    )
  }

  const { sentAt: _, ...heartbeat } = Heartbeat.fields
  it.prop("Heartbeat survives it", { rest: Schema.Struct(heartbeat), sentAt: timestamp }, ({ rest, sentAt }) => {
    const sent = { ...rest, sentAt }
    assert.deepStrictEqual<unknown>(Schema.decodeUnknownSync(Heartbeat)(sentOver(sent)), sentOver(sent))
  })

  const { name: __, timestamp: ___, ...registration } = Registration.fields
  it.prop(
    "Registration survives it",
    { rest: Schema.Struct(registration), name: sentName, timestamp },
    ({ name, rest, timestamp }) => {
      const sent = { ...rest, name, timestamp }
      assert.deepStrictEqual<unknown>(Schema.decodeUnknownSync(Registration)(sentOver(sent)), sentOver(sent))
    },
    { arbitrary: { runs: 30, size: 8, maxDiscards: 20_000 } }
  )

  it.each([
    ["Server.json", Server.json.fields],
    ["FleetServer.json", FleetServer.json.fields],
    ["RegistrationKey.json", RegistrationKey.json.fields],
    ["ServerToken.json", ServerToken.json.fields],
    ["Challenge.json", Challenge.json.fields],
    ["Admin.json", Admin.json.fields],
    ["ApiToken.json", ApiToken.json.fields],
    ["Passkey.json", Passkey.json.fields]
  ])("B9 %s holds no secret and no digest", (_, fields) => {
    const secrets = ["digest", "token", "key", "secret", "nonce", "password", "passwordHash"]
    assert.deepStrictEqual(
      Object.keys(fields).filter((field) => secrets.includes(field)),
      []
    )
  })

  it.each([
    ["Server.json", Server.json.fields],
    ["RegistrationKey.json", RegistrationKey.json.fields],
    ["ApiToken.json", ApiToken.json.fields]
  ])("A5 %s does not tell which organization", (_, fields) => {
    assert.notProperty(fields, "organizationId")
  })

  it("B9 only the answer to its creation holds a registration key, and there it is redacted", () => {
    const { key } = CreatedRegistrationKey.fields
    assert.isTrue(Redacted.isRedacted(Schema.decodeUnknownSync(key)("brk_reg_x")))
  })

  it("B9 only the answer to its creation holds an API token, and there it is redacted", () => {
    const { token } = CreatedApiToken.fields
    assert.isTrue(Redacted.isRedacted(Schema.decodeUnknownSync(token)("brk_api_x")))
  })
})

describe("Problems", () => {
  it.each([...problems])("%s is documented, stable and within HTTP", (code, problem) => {
    assert.match(code, /^[a-z]+(_[a-z]+)*$/)
    assert.isTrue(problem.status >= 400 && problem.status < 600)
    assert.isTrue([problem.title, problem.detail, problem.remedy].every((text) => text.length > 0))
  })

  it.each([
    "registration_key_refused",
    "name_taken",
    "public_key_in_use",
    "invalid_signature",
    "invalid_public_key",
    "timestamp_out_of_range",
    "validation_failed",
    "challenge_failed",
    "challenge_gone",
    "server_suspended",
    "server_retired",
    "unknown_credential",
    "wrong_credential_kind",
    "overloaded",
    "idempotency_key_reused"
  ])("the documented code %s exists", (code) => {
    assert.isTrue(problems.has(code))
  })
})

describe("Roles", () => {
  const changing = (role: BuiltInRole) =>
    [...builtInPermissions[role]].filter((permission) => !permission.endsWith(":read"))

  it.each(BuiltInRole.literals)("A5 %s may read", (role) => {
    assert.isTrue(builtInPermissions[role].has("servers:read"))
  })

  it("A5 auditors and viewers may change nothing; auditors take the log with them, and check it", () => {
    assert.deepStrictEqual([changing("viewer"), changing("auditor")], [[], ["audit:export", "audit:verify"]])
  })

  it("leave to owners what is theirs alone, whoever makes them", () => {
    const request = (permissions: ReadonlyArray<string>) =>
      Schema.decodeUnknownExit(RoleRequest)({ name: "night shift", description: "", permissions })
    const refused = [...builtInPermissions.owner].filter((permission) => Exit.isFailure(request([permission])))
    assert.deepStrictEqual(refused, ["admins:reset", "security-policy:update"])
    assert.match(String(request(["servers:read", "admins:reset"])), /theirs alone: admins:reset/)
  })

  it.each([
    ["viewer", "operator"],
    ["operator", "admin"],
    ["auditor", "admin"],
    ["admin", "owner"]
  ] as const)("A5 %s holds less than %s, and nothing else", (less, more) => {
    const beyond = [...builtInPermissions[less]].filter((permission) => !builtInPermissions[more].has(permission))
    assert.deepStrictEqual(beyond, [])
    assert.isBelow(builtInPermissions[less].size, builtInPermissions[more].size)
  })
})
