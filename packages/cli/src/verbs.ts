/** The verbs, in the order of the help. Their code is loaded when one of them is asked for: `run` needs no server, `list` no child process. */
import type { Command } from 'commander'

export type Define = (program: Command) => void
type Verb = { name: string; summary: string; load: () => Promise<{ define: Define }> }

export const verbs: readonly Verb[] = [
  { name: 'serve', summary: 'start a server', load: () => import('./commands/serve.ts') },
  {
    name: 'cluster',
    summary: 'run etcd for many servers, and look after it',
    load: () => import('./commands/cluster.ts'),
  },
  {
    name: 'doctor',
    summary: 'see whether all is well, and what to change',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'iam-emulator',
    summary: 'emulate IBM Cloud IAM, for development and tests',
    load: () => import('./commands/iam-emulator.ts'),
  },
  {
    name: 'keys',
    summary: 'see and change the keys of an encrypted store',
    load: () => import('./commands/keys.ts'),
  },
  {
    name: 'dev-certs',
    summary: 'make a certificate for a first start with TLS',
    load: () => import('./commands/dev-certs.ts'),
  },
  { name: 'bench', summary: 'load the service, and watch how it bears it', load: () => import('./commands/bench.ts') },
  { name: 'run', summary: 'run a command while holding a lock', load: () => import('./commands/run.ts') },
  { name: 'elect', summary: 'run a command while being the leader', load: () => import('./commands/elect.ts') },
  { name: 'acquire', summary: 'acquire a lock and print its lock_id', load: () => import('./commands/acquire.ts') },
  { name: 'renew', summary: 'keep an acquired lock for another TTL', load: () => import('./commands/renew.ts') },
  { name: 'release', summary: 'release an acquired lock', load: () => import('./commands/release.ts') },
  { name: 'list', summary: 'list the locks that are configured or in use', load: () => import('./commands/list.ts') },
  { name: 'show', summary: 'look at a lock', load: () => import('./commands/show.ts') },
  { name: 'why', summary: 'why is a lock not free: who holds it, who waits', load: () => import('./commands/why.ts') },
  { name: 'queue', summary: 'who waits for a lock, in order', load: () => import('./commands/queue.ts') },
  { name: 'history', summary: 'what has happened to a lock', load: () => import('./commands/history.ts') },
  {
    name: 'audit',
    summary: 'who did what; export it; see whether it was touched',
    load: () => import('./commands/audit.ts'),
  },
  { name: 'watch', summary: 'watch events as they happen', load: () => import('./commands/watch.ts') },
  { name: 'value', summary: 'read the value that a lock carries', load: () => import('./commands/value.ts') },
  { name: 'force-release', summary: 'end the grants of others', load: () => import('./commands/force-release.ts') },
  { name: 'preempt', summary: 'tell the holders to clean up and go', load: () => import('./commands/preempt.ts') },
  { name: 'freeze', summary: 'let nobody acquire locks under a prefix', load: () => import('./commands/freeze.ts') },
  { name: 'freezes', summary: 'list the freezes in force', load: () => import('./commands/freezes.ts') },
  { name: 'thaw', summary: 'lift a freeze', load: () => import('./commands/thaw.ts') },
  {
    name: 'configure',
    summary: 'show or change the settings of a lock',
    load: () => import('./commands/configure.ts'),
  },
  { name: 'whoami', summary: 'whose key this is and what it permits', load: () => import('./commands/whoami.ts') },
  { name: 'instance', summary: 'give teams instances of their own', load: () => import('./commands/instance.ts') },
  {
    name: 'credential',
    summary: 'make, rotate and revoke keys to an instance',
    load: () => import('./commands/credential.ts'),
  },
  { name: 'role', summary: 'sets of actions that policies grant', load: () => import('./commands/role.ts') },
  { name: 'policy', summary: 'who may do what, to which locks, when', load: () => import('./commands/policy.ts') },
  {
    name: 'usage',
    summary: 'what an instance has used, and what that costs',
    load: () => import('./commands/usage.ts'),
  },
  { name: 'plan', summary: 'the plans, and what they cost', load: () => import('./commands/plan.ts') },
  { name: 'resource', summary: 'the verbs of `ibmcloud resource`', load: () => import('./commands/resource.ts') },
  {
    name: 'iam',
    summary: 'the verbs of `ibmcloud iam`, for policies and keys',
    load: () => import('./commands/iam.ts'),
  },
  {
    name: 'completion',
    summary: 'print a completion script for your shell',
    load: () => import('./commands/completion.ts'),
  },
]
