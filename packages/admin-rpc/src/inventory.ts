import { Inventory } from "@broker/core/inventory/Inventory"
import {
  InventoryDigest,
  InventoryFormat,
  InventoryImported,
  InventoryPlan,
  maxInventory
} from "@broker/domain/Inventory"
import { Text } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const file = { format: InventoryFormat, text: Text(maxInventory.bytes) }

/** Exports are a plain route, as they stream. */
export const inventory = router({
  /** Changes nothing; it is no query, as a file fits no address. */
  plan: procedure("inventory:import")
    .input(Wire.input(Schema.Struct(file)))
    .output(Wire.output(InventoryPlan))
    .mutation(({ ctx, input }) =>
      ctx.run(Inventory.use((inventory) => inventory.plan(ctx.admin, input.format, input.text)))
    ),

  import: procedure("inventory:import")
    .input(Wire.input(Schema.Struct({ ...file, digest: InventoryDigest })))
    .output(Wire.output(InventoryImported))
    .mutation(({ ctx, input }) =>
      ctx.run(Inventory.use((inventory) => inventory.apply(ctx.admin, input.format, input.text, input.digest)))
    )
})
