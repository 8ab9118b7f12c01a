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
import { UnknownCredential, WrongCredentialKind } from "./Credential.ts"
import { Overloaded } from "./Heartbeat.ts"
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
  AdmissionConflict
]

/** By the code that programs switch on. */
export const problems: ReadonlyMap<string, ProblemDeclaration> = new Map(
  classes.flatMap((problem) => {
    const declaration = declarationOf(problem)
    return declaration === undefined ? [] : [[declaration.code, declaration] as const]
  })
)
