/** Every column that holds sealed secrets. Whatever else is sealed one day has to be told here, or it is not re-wrapped. */

/** Its table has a uuid, `id`, for its primary key. */
export interface SealedColumn {
  readonly table: string
  readonly column: string
}

export const totpSecret: SealedColumn = { table: "admins", column: "totp_secret" }
export const auditKey: SealedColumn = { table: "audit_keys", column: "private_key" }
export const signingKey: SealedColumn = { table: "signing_keys", column: "sealed_key" }
export const webhookSecret: SealedColumn = { table: "webhook_secrets", column: "sealed_secret" }
export const idempotentAnswer: SealedColumn = { table: "idempotent_answers", column: "answer" }

export const sealedColumns: ReadonlyArray<SealedColumn> = [
  totpSecret,
  auditKey,
  signingKey,
  idempotentAnswer,
  webhookSecret
]

/** How a column is called, such as `admins.totp_secret`. */
export const nameOf = ({ column, table }: SealedColumn) => `${table}.${column}`

/** Where a secret is kept, which is what it is bound to, such as `admins.totp_secret:<id>`. */
export const place = (column: SealedColumn, id: string) => `${nameOf(column)}:${id}`
