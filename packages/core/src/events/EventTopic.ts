/** Said when events have got their place: whoever listens looks at once. */
export const eventTopic = "events"
