/**
 * Payment with a fenced balance: an invoice must be paid once. A worker that holds the lock is paused for longer than its lock lasts (a
 * garbage collection, a sleeping laptop, a frozen machine); another one takes over and pays; then the first wakes up in the middle of its
 * work and pays too. No lock service can prevent that alone: the first one does not know that time has passed. The *store* can: it
 * remembers the largest token it has seen, and refuses smaller ones.
 *
 *   node scripts/run.mjs examples/payment.ts                   # the late payment is refused by its token
 *   node scripts/run.mjs examples/payment.ts --without-lock    # paid twice
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Lock } from '@holdfast/client'

const INVOICE = 'invoice/17'
const TTL_MS = 1_000
const PAUSE_MS = 3_000

type Payment = { amount: number; token: number | null }

const isWithoutLock = process.argv.includes('--without-lock')

/** Where the money is. In a database: `update … set token = $1 where id = $2 and token <= $1`, in one step with the payment. */
class Balance {
  amount = 100
  #token = 0
  readonly log: string[] = []

  pay({ amount, token }: Payment, by: string): void {
    if (token !== null && token < this.#token) {
      this.log.push(`${by}: refused, token ${token} is older than ${this.#token}`)
      return
    }
    this.#token = token ?? this.#token
    this.amount -= amount
    this.log.push(`${by}: paid`)
  }
}

/** A process of its own, for a pause stops all that is in one. It does not look at the clock again after it has woken up. */
async function pausedWorker(): Promise<void> {
  const holdfast = connect({ ttlMs: TTL_MS })
  const lock: Lock | null = isWithoutLock ? null : await holdfast.acquire(INVOICE)
  process.send?.('about to pay')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
  const payment: Payment = { amount: 40, token: lock?.token ?? null }
  process.send?.(payment)
  await holdfast.close()
  process.disconnect()
}

async function main(): Promise<void> {
  const balance = new Balance()
  const paused: ChildProcess = fork(import.meta.filename, process.argv.slice(2))
  await once(paused, 'message')
  // The worker is paused from here. This one takes over as soon as the lock can be had.
  await using holdfast = connect({ ttlMs: TTL_MS })
  if (isWithoutLock) balance.pay({ amount: 40, token: null }, 'second worker')
  else await holdfast.using(INVOICE, lock => balance.pay({ amount: 40, token: lock.token }, 'second worker'))
  const [late] = (await once(paused, 'message')) as [Payment] // what `pausedWorker` sends second
  balance.pay(late, 'paused worker')
  console.log(JSON.stringify({ balance: balance.amount, log: balance.log, isRight: balance.amount === 60 }))
  process.exitCode = balance.amount === 60 ? 0 : 1
}

if (process.send) await pausedWorker()
else await main()
