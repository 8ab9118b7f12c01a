/** Said by whoever changes how clients see a server. Tokens are not concerned: no server has to be looked up again. */
export const discoveryTopic = "discovery"
