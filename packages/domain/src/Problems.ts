/** Every problem of the domain, for the pages that explain them. */
import {
  AdminNameTaken,
  AdminNotFound,
  LastOwner,
  NotYourself,
  SetupClosed,
  WeakPassword,
  WrongPassword
} from "./Admin.ts"
import { InvitationNotFound, LinkGone } from "./AdminLink.ts"
import {
  AdminSessionNotFound,
  CrossSiteRequest,
  NotSignedIn,
  SignInRefused,
  SingleSignOnFailed,
  SingleSignOnRefused,
  SingleSignOnUnavailable
} from "./AdminSession.ts"
import { ApiTokenNotFound, InvalidNetwork } from "./ApiToken.ts"
import { AuditEntryNotFound } from "./AuditEntry.ts"
import { MaintenanceWindowNotFound } from "./Availability.ts"
import { BulkActConflict, BulkActNotFound, BulkSelectionChanged } from "./BulkAct.ts"
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
import { EventNotFound, EventsGone, TooManyEventStreams } from "./Event.ts"
import { FleetGuardNotOpen } from "./FleetGuard.ts"
import { GroupInUse, GroupMisplaced, GroupNameTaken, GroupNotFound } from "./Group.ts"
import { Overloaded } from "./Heartbeat.ts"
import { InventoryChanged, InventoryTooLarge } from "./Inventory.ts"
import { BeyondHistory } from "./Monitoring.ts"
import { MoreThanHeld, PermissionMissing, StepUpRequired } from "./Permission.ts"
import { PersonalKeyNotFound, PersonalKeyOver, PersonalKeyRefused } from "./PersonalKey.ts"
import { PreconditionFailed } from "./Precondition.ts"
import { InvalidCursor } from "./Primitives.ts"
import { declarationOf, type ProblemDeclaration, ValidationFailed } from "./Problem.ts"
import { RateLimited } from "./RateLimit.ts"
import { IdempotencyKeyReused, InvalidPublicKey, InvalidSignature, TimestampOutOfRange } from "./Registration.ts"
import { RegistrationKeyNotFound, RegistrationKeyRefused, ReplacementKeyGivesNothing } from "./RegistrationKey.ts"
import {
  MailNotSetUp,
  ReportFileNotFound,
  ReportNameTaken,
  ReportNotFound,
  ReportRunNotFound,
  ReportScheduleRefused,
  ReportTooLarge,
  TooManyReportRuns,
  TooManyReports
} from "./Report.ts"
import { RoleInUse, RoleNameTaken, RoleNotFound } from "./Role.ts"
import { SavedViewNotFound, TooManySavedViews } from "./SavedView.ts"
import { FactorDemanded, FactorEnrolled, FactorRefused, FactorUnconfirmed, PasskeyNotFound } from "./SecondFactor.ts"
import {
  AdmissionConflict,
  AssignmentTooLarge,
  NameTaken,
  PublicKeyInUse,
  ServerNotFound,
  ServerRetired,
  ServerSuspended
} from "./Server.ts"
import { ServerNoteNotFound } from "./ServerNote.ts"
import { InvalidSearch } from "./ServerSearch.ts"
import { SignInFailureNotFound } from "./SignInFailure.ts"
import { EmailTaken, UserNotFound, UserSuspended } from "./User.ts"
import {
  NothingToReplay,
  TooManyWebhooks,
  WebhookDeliveryNotFound,
  WebhookNotFound,
  WebhookTargetRefused
} from "./Webhook.ts"

const classes = [
  AuditEntryNotFound,
  AdminNotFound,
  LastOwner,
  NotYourself,
  WeakPassword,
  WrongPassword,
  InvitationNotFound,
  LinkGone,
  AdminSessionNotFound,
  SingleSignOnFailed,
  SingleSignOnRefused,
  SingleSignOnUnavailable,
  ApiTokenNotFound,
  InvalidNetwork,
  MoreThanHeld,
  StepUpRequired,
  RateLimited,
  RoleInUse,
  RoleNameTaken,
  RoleNotFound,
  FactorDemanded,
  FactorEnrolled,
  FactorRefused,
  FactorUnconfirmed,
  PasskeyNotFound,
  SignInFailureNotFound,
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
  PreconditionFailed,
  ValidationFailed,
  InvalidSignature,
  InvalidPublicKey,
  TimestampOutOfRange,
  IdempotencyKeyReused,
  RegistrationKeyRefused,
  RegistrationKeyNotFound,
  ReplacementKeyGivesNothing,
  NameTaken,
  PublicKeyInUse,
  ServerNotFound,
  ServerSuspended,
  ServerRetired,
  AdmissionConflict,
  AssignmentTooLarge,
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
  EmailTaken,
  GroupNotFound,
  GroupNameTaken,
  GroupInUse,
  GroupMisplaced,
  ServerNoteNotFound,
  SavedViewNotFound,
  TooManySavedViews,
  ReportNotFound,
  ReportTooLarge,
  ReportNameTaken,
  TooManyReports,
  ReportRunNotFound,
  ReportFileNotFound,
  TooManyReportRuns,
  ReportScheduleRefused,
  MailNotSetUp,
  WebhookNotFound,
  WebhookDeliveryNotFound,
  WebhookTargetRefused,
  TooManyWebhooks,
  NothingToReplay,
  BulkActNotFound,
  BulkActConflict,
  BulkSelectionChanged,
  InventoryChanged,
  InventoryTooLarge,
  InvalidSearch,
  MaintenanceWindowNotFound,
  EventNotFound,
  EventsGone,
  TooManyEventStreams,
  FleetGuardNotOpen,
  BeyondHistory
]

/** By the code that programs switch on. */
export const problems: ReadonlyMap<string, ProblemDeclaration> = new Map(
  classes.flatMap((problem) => {
    const declaration = declarationOf(problem)
    return declaration === undefined ? [] : [[declaration.code, declaration] as const]
  })
)
