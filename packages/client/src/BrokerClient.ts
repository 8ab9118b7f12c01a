/** The typed client of the public HTTP API, generated from its contract. */
import { Api } from "@broker/api/Api"
import {
  ApiTokenAuthentication,
  ClientAuthentication,
  PersonalKeyAuthentication,
  ReaderAuthentication,
  RegistrationKeyAuthentication,
  ServerAuthentication
} from "@broker/api/Authentication"
import type { Secret } from "@broker/domain/Credential"
import { Context, type Duration, Effect, Layer } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest } from "effect/http"
import { HttpApiClient, HttpApiMiddleware } from "effect/http-api"

export interface Options {
  /** The broker's address, such as `https://broker.example`. */
  readonly url: string | URL
  /** Sent by calls that take a registration key. */
  readonly registrationKey?: Secret | undefined
  /** Sent by calls that take a server's token. */
  readonly serverToken?: Secret | undefined
  /** Sent by calls that take a personal key. */
  readonly personalKey?: Secret | undefined
  /** Sent by calls that take a client's session. */
  readonly clientSession?: Secret | undefined
  /** Sent by calls that take an API token, unless they take a client's session too and there is one. */
  readonly apiToken?: Secret | undefined
  /** How long one request may take, answer included: 10 s unless told otherwise. */
  readonly timeout?: Duration.Input | undefined
}

/** Nothing is retried here: whether a call may be repeated is for its caller to know. */
export class BrokerClient extends Context.Service<BrokerClient, HttpApiClient.ForApi<typeof Api>>()(
  "@broker/client/BrokerClient"
) {
  static readonly make = (options: Options) => {
    const asNewcomer = bearer(options.registrationKey)
    const asServer = bearer(options.serverToken)
    const asUser = bearer(options.personalKey)
    const asClient = bearer(options.clientSession)
    const asMachine = bearer(options.apiToken)
    const asReader = bearer(options.clientSession ?? options.apiToken)
    return HttpApiClient.make(Api, {
      baseUrl: options.url,
      transformClient: within(options.timeout ?? "10 seconds")
    }).pipe(
      Effect.provide([
        HttpApiMiddleware.layerClient(RegistrationKeyAuthentication, ({ next, request }) => next(asNewcomer(request))),
        HttpApiMiddleware.layerClient(ServerAuthentication, ({ next, request }) => next(asServer(request))),
        HttpApiMiddleware.layerClient(PersonalKeyAuthentication, ({ next, request }) => next(asUser(request))),
        HttpApiMiddleware.layerClient(ClientAuthentication, ({ next, request }) => next(asClient(request))),
        HttpApiMiddleware.layerClient(ApiTokenAuthentication, ({ next, request }) => next(asMachine(request))),
        HttpApiMiddleware.layerClient(ReaderAuthentication, ({ next, request }) => next(asReader(request)))
      ])
    )
  }

  static readonly layer = (options: Options) => Layer.effect(BrokerClient, BrokerClient.make(options))
}

const bearer = (secret: Secret | undefined) => (request: HttpClientRequest.HttpClientRequest) =>
  secret === undefined ? request : HttpClientRequest.bearerToken(request, secret)

/** Bounds the whole exchange: answers are small, so the body is read at once, and kept. */
export const within =
  (timeout: Duration.Input) =>
  (client: HttpClient.HttpClient): HttpClient.HttpClient =>
    HttpClient.transform(client, (exchange, request) =>
      Effect.timeoutOrElse(
        Effect.tap(exchange, (response) => response.arrayBuffer),
        {
          duration: timeout,
          orElse: () =>
            Effect.fail(
              new HttpClientError.HttpClientError({
                reason: new HttpClientError.TransportError({ request, description: "no answer in time" })
              })
            )
        }
      )
    )
