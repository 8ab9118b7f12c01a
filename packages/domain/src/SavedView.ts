/** Lists that somebody wants to see again: a name for the part of the address that filters and sorts. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { AdminId } from "./Admin.ts"
import { OrganizationId } from "./Organization.ts"
import { Instant, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"

export const SavedViewId = Uuid.pipe(Schema.brand("SavedViewId"))
export type SavedViewId = typeof SavedViewId.Type

export const ViewedPage = Schema.Literals(["servers", "events"])
export type ViewedPage = typeof ViewedPage.Type

const choice = {
  page: ViewedPage,
  name: Text(64).check(Schema.isTrimmed(), Schema.isMinLength(1)),
  /** What stands in the address behind the question mark. */
  search: Text(2_000),
  /** Whether everybody in the organization sees it. */
  shared: Schema.Boolean
}

/** One row of `saved_views`. */
export class SavedView extends Model.Class<SavedView>("SavedView")({
  id: Model.UuidV7Insert(SavedViewId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  adminId: AdminId,
  nameKey: Model.FieldOnly(["insert"])(Schema.String),
  ...choice,
  createdAt: Instant
}) {}

/** Saving under a name that one has already puts the new view in the place of the old. */
export const SavedViewRequest = Schema.Struct(choice)
export type SavedViewRequest = typeof SavedViewRequest.Type

/** Somebody's view as a list shows it. */
export class ListedView extends Model.Class<ListedView>("ListedView")({
  ...Model.fields(SavedView),
  owner: Schema.String,
  mine: Schema.Boolean
}) {}

export class SavedViewNotFound extends Problem<SavedViewNotFound>()("SavedViewNotFound", {
  code: "saved_view_not_found",
  status: 404,
  title: "Saved view not found",
  detail: "There is no such view among yours.",
  remedy: "Only whoever saved a view changes it; whoever may share views deletes shared ones as well."
}) {}

/** So many one admin saves at most. */
export const maxSavedViews = 100

export class TooManySavedViews extends Problem<TooManySavedViews>()("TooManySavedViews", {
  code: "too_many_saved_views",
  status: 409,
  title: "Too many saved views",
  detail: `You have ${maxSavedViews} saved views, and cannot have more.`,
  remedy: "Delete one, or save this one under the name of another."
}) {}
