/** The catalogue of events is written from their schemas, and its examples are events. */
import { fileURLToPath } from "node:url"
import { Event, eventTypes } from "@broker/domain/Event"
import { messageOf } from "@broker/domain/EventWords"
import { Schema } from "effect"
import { assert, describe, expect, it } from "vitest"
import { eventsPage, exampleOf } from "../../src/pages/EventCatalogue.ts"

const pageFile = fileURLToPath(new URL("../../../../docs/events.md", import.meta.url))

describe("docs/events.md", () => {
  it("says what the schemas say (`--update=all` writes it)", async () => {
    await expect(eventsPage()).toMatchFileSnapshot(pageFile)
  })

  it("shows events that are read as they stand there", () => {
    for (const type of eventTypes) {
      const event = Schema.decodeUnknownSync(Event)(exampleOf(type))
      assert.deepStrictEqual(Schema.encodeSync(Event)(event), exampleOf(type))
      assert.isNotEmpty(messageOf(event))
    }
  })

  it("has words for every field", () => {
    assert.notMatch(eventsPage(), /\|\s+\|\n/)
  })
})
