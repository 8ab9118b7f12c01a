/** A tenant. It owns everything; a fresh install has one. */
import { Schema } from "effect"
import { Uuid } from "./Primitives.ts"

export const OrganizationId = Uuid.pipe(Schema.brand("OrganizationId"))
export type OrganizationId = typeof OrganizationId.Type

/** The organization that the first migration creates. */
export const defaultOrganizationId = OrganizationId.make("00000000-0000-7000-8000-000000000001")
