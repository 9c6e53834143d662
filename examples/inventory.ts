/**
 * Inventory: several processes sell from one stock. Each reads what is left, charges the customer, and writes what is left then. Without a
 * lock two of them read the same number, and more is sold than there was.
 *
 *   node scripts/run.mjs examples/inventory.ts                   # sells what there is
 *   node scripts/run.mjs examples/inventory.ts --without-lock    # oversells
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@holdfast/client'

const STOCK = 10
const SELLERS = 4
const CUSTOMERS_EACH = 6

const isWithoutLock = process.argv.includes('--without-lock')
const file = process.env.STOCK_FILE

if (file === undefined) await main()
else await sell(file)

/** One customer: true if something was sold. The stock is a file here; think of a table without transactions, or of another company's API. */
async function sellOne(path: string): Promise<boolean> {
  const left = Number(readFileSync(path, 'utf8'))
  if (left === 0) return false
  await sleep(20) // charging the customer
  writeFileSync(path, String(left - 1))
  return true
}

async function sell(path: string): Promise<void> {
  await using holdfast = connect()
  // The doors open for all sellers at once.
  process.send?.('ready')
  await once(process, 'message')
  let sold = 0
  for (let customer = 0; customer < CUSTOMERS_EACH; customer++) {
    const isSold = isWithoutLock ? await sellOne(path) : await holdfast.using('inventory/widgets', () => sellOne(path))
    if (isSold) sold++
  }
  process.send?.(sold)
  process.disconnect?.()
}

async function main(): Promise<void> {
  const path = join(mkdtempSync(join(tmpdir(), 'holdfast-inventory-')), 'stock')
  writeFileSync(path, String(STOCK))
  const sellers = Array.from({ length: SELLERS }, () =>
    fork(import.meta.filename, process.argv.slice(2), { env: { ...process.env, STOCK_FILE: path } }),
  )
  await Promise.all(sellers.map(seller => once(seller, 'message')))
  for (const seller of sellers) seller.send('open')
  const counts = await Promise.all(sellers.map(async seller => Number((await once(seller, 'message'))[0])))
  const sold = counts.reduce((sum, count) => sum + count, 0)
  const left = Number(readFileSync(path, 'utf8'))
  console.log(JSON.stringify({ stock: STOCK, sold, left, isRight: sold + left === STOCK }))
  process.exitCode = sold + left === STOCK ? 0 : 1
}
