/** `holdfast dev-certs`: an authority and a certificate, and how server and clients are told of them. */
import type { Command } from 'commander'
import { CommandFailure, exitCodes } from '../exit.ts'
import { printLine } from '../output.ts'

type Options = { out: string; hosts?: string }

const HOST_PATTERN = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F:.]+|\*\.[A-Za-z0-9.-]+)$/
const HOSTS_MAX = 100

export function define(program: Command): void {
  program
    .command('dev-certs')
    .summary('make a certificate for a first start with TLS')
    .description(
      'Make an authority of your own and a certificate of the server, good for a year, for trying TLS. Again: a new certificate of the same authority, which a running server uses at once.',
    )
    .option('--out <directory>', 'where the files go', './certs')
    .option('--hosts <hosts>', 'names and addresses of the server beside localhost, with commas between them')
    .action(async ({ out, hosts }: Options) => {
      const { writeDevCertificates } = await import('@holdfast/server/dev-certs')
      const made = writeDevCertificates({ folder: out, hosts: hostsOf(hosts) })
      printLine(`${made.isOldAuthority ? 'A new certificate of the authority that was there' : 'A new authority and a certificate'}, for ${made.hosts.join(', ')}.

Start the server with

  holdfast serve --tls-cert ${made.certificateFile} --tls-key ${made.keyFile}

and let its clients trust it: the command line by HOLDFAST_CA or --ca, programs on Node as below, other servers by --peer-ca.

  export NODE_EXTRA_CA_CERTS=${made.authorityFile} HOLDFAST_URL=https://localhost:7420

Whoever reads ${out} can pretend to be this server: for trials, not for keeps.`)
    })
}

function hostsOf(text: string | undefined): string[] {
  if (text === undefined) return []
  const hosts = text.split(',').map(host => host.trim())
  const wrong = hosts.find(host => !HOST_PATTERN.test(host))
  if (wrong !== undefined)
    throw new CommandFailure(exitCodes.usage, `This is no name or address of a host: \`${wrong}\`.`)
  if (hosts.length > HOSTS_MAX) throw new CommandFailure(exitCodes.usage, `At most ${HOSTS_MAX} hosts.`)
  return hosts
}
