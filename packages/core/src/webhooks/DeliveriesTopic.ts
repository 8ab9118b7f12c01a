/** Said when there is something to send: nodes look at once. */
export const deliveriesTopic = "webhook-deliveries"
