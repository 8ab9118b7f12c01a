/** Every problem of the domain, for the pages that explain them. */
import {
  AdminNameTaken,
  CrossSiteRequest,
  NotSignedIn,
  PermissionMissing,
  SetupClosed,
  SignInRefused
} from "./Admin.ts"
import { ChallengeFailed, ChallengeGone } from "./Challenge.ts"
import { TooManyAttempts } from "./ClientSession.ts"
import {
  ConnectionConflict,
  ConnectionLimitReached,
  ConnectionNotFound,
  ConnectionOver,
  NoServerMatches,
  ServerUnavailable
} from "./Connection.ts"
import { UnknownCredential, WrongCredentialKind } from "./Credential.ts"
import { DeviceBlocked, DeviceKeyMismatch, DeviceLimit, DeviceNotFound } from "./Device.ts"
import { Overloaded } from "./Heartbeat.ts"
import { PersonalKeyNotFound, PersonalKeyOver, PersonalKeyRefused } from "./PersonalKey.ts"
import { InvalidCursor } from "./Primitives.ts"
import { declarationOf, type ProblemDeclaration, ValidationFailed } from "./Problem.ts"
import { IdempotencyKeyReused, InvalidPublicKey, InvalidSignature, TimestampOutOfRange } from "./Registration.ts"
import { RegistrationKeyNotFound, RegistrationKeyRefused } from "./RegistrationKey.ts"
import {
  AdmissionConflict,
  NameTaken,
  PublicKeyInUse,
  ServerNotFound,
  ServerRetired,
  ServerSuspended
} from "./Server.ts"
import { EmailTaken, UserNotFound, UserSuspended } from "./User.ts"

const classes = [
  SignInRefused,
  NotSignedIn,
  PermissionMissing,
  SetupClosed,
  AdminNameTaken,
  CrossSiteRequest,
  ChallengeFailed,
  ChallengeGone,
  UnknownCredential,
  WrongCredentialKind,
  Overloaded,
  InvalidCursor,
  ValidationFailed,
  InvalidSignature,
  InvalidPublicKey,
  TimestampOutOfRange,
  IdempotencyKeyReused,
  RegistrationKeyRefused,
  RegistrationKeyNotFound,
  NameTaken,
  PublicKeyInUse,
  ServerNotFound,
  ServerSuspended,
  ServerRetired,
  AdmissionConflict,
  PersonalKeyRefused,
  PersonalKeyNotFound,
  PersonalKeyOver,
  TooManyAttempts,
  DeviceBlocked,
  DeviceKeyMismatch,
  DeviceLimit,
  DeviceNotFound,
  ConnectionNotFound,
  ConnectionOver,
  ConnectionConflict,
  ConnectionLimitReached,
  ServerUnavailable,
  NoServerMatches,
  UserNotFound,
  UserSuspended,
  EmailTaken
]

/** By the code that programs switch on. */
export const problems: ReadonlyMap<string, ProblemDeclaration> = new Map(
  classes.flatMap((problem) => {
    const declaration = declarationOf(problem)
    return declaration === undefined ? [] : [[declaration.code, declaration] as const]
  })
)
