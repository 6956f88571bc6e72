import { Argument, Command } from 'commander'
import { ADMISSION_MODES, type AdmissionMode } from '../../../shared/sdk/contract/flow.ts'
import { helpTail, runCommand } from '../command-run.ts'
import type { AdmissionArguments } from '../models/admission.ts'
import type { ListArguments, ModelsArguments } from '../models/folder.ts'
import type { ReadmitArguments } from '../models/readmit.ts'
import type { RetireArguments } from '../models/retire.ts'

export function modelsCommand(): Command {
  return new Command('models')
    .summary('look at a models folder, and try its models before they are shipped')
    .addCommand(listCommand())
    .addCommand(checkCommand())
    .addCommand(readmitCommand())
    .addCommand(retireCommand())
    .addCommand(admissionCommand())
    .addHelpText('after', '\nFolder, manifest, exporting, and what is refused: docs/models.md')
}

function listCommand(): Command {
  return new Command('list')
    .summary('list the models of a folder, and those that would be refused')
    .argument('[folder]', 'models folder (PELTON_MODELS; default: the demo model)')
    .option('--pool <name>', 'pool whose workers have measured them', 'default')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', helpTail(['pelton models list ./models'], { failed: 'a model is refused' }))
    .action((folder: string | undefined, options: ListArguments) =>
      runCommand(async (run) => (await loadFolder()).listModels(run, folder, options)),
    )
}

function checkCommand(): Command {
  return new Command('check')
    .summary('load, try and measure every model of a folder')
    .description(
      'Signature and how it differs from the version below, golden samples, whether rows may share a run, a sample\n' +
        'prediction, load time, memory, and the batch size beyond which a row gets no cheaper. Each model runs in a process\n' +
        'of its own. A model that is served and cannot be measured is told apart, and is no failure.',
    )
    .argument('[folder]', 'models folder (PELTON_MODELS; default: the demo model)')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      helpTail(['pelton models check ./models', 'pelton models check ./models --json | jq .kneeRows'], {
        failed: 'a model is refused',
      }),
    )
    .action((folder: string | undefined, options: ModelsArguments) =>
      runCommand(async (run) => (await loadFolder()).checkModels(run, folder, options)),
    )
}

function readmitCommand(): Command {
  return new Command('readmit')
    .summary('have a model that is held, or runs apart, run with the others again')
    .description(
      'A model of which a run did not end runs in a process of its own, and not at all once three events in a row have\n' +
        'timed out. One that fails on everything is not run but by probes, until one succeeds. This ends all of it, in all\n' +
        'workers of its pool: after it was mended, or its limit raised.',
    )
    .argument('<model>', 'its name')
    .option('--pool <name>', 'pool that serves it', 'default')
    .addHelpText(
      'after',
      helpTail(['pelton models readmit flight-delay'], {
        failed: 'the broker does not answer, or refuses it',
      }),
    )
    .action((model: string, options: ReadmitArguments) =>
      runCommand(async (run) => (await import('../models/readmit.ts')).readmitModel(run, model, options)),
    )
}

function retireCommand(): Command {
  return new Command('retire')
    .summary('end the waiting for a model that will not come back')
    .description(
      'What a pool has once served is waited for: its events are parked while no worker can serve it. This ends that: they\n' +
        'become dead letters with the reason unknown-model, to be replayed or discarded. First take the model out of the models\n' +
        'folder, and restart the workers that serve it.',
    )
    .argument('<model>', 'its name')
    .option('--model-version <number>', 'this version alone')
    .option('--pool <name>', 'pool that has served it', 'default')
    .addHelpText(
      'after',
      helpTail(['pelton models retire flight-delay', 'pelton models retire flight-delay --model-version 2'], {
        failed: 'the broker does not answer, or refuses it',
      }),
    )
    .action((model: string, options: RetireArguments) =>
      runCommand(async (run) => (await import('../models/retire.ts')).retireModel(run, model, options)),
    )
}

function admissionCommand(): Command {
  return new Command('admission')
    .summary('set whether doors refuse events of a model that would come too late')
    .description(
      'enforce: gateways and producers refuse, before it is stored, what would come too late or finds no room. observe: they let\n' +
        'it in, and count it. off: they look at nothing. It holds within seconds, everywhere, and goes before what the manifest\n' +
        'of the model says. Prints what held before, and who set that.',
    )
    .argument('<model>', 'its name')
    .addArgument(new Argument('<mode>', 'what doors do').choices(ADMISSION_MODES))
    .option('--pool <name>', 'pool that serves it', 'default')
    .option('--by <name>', 'who sets it, for the record')
    .addHelpText(
      'after',
      helpTail(['pelton models admission flight-delay observe'], {
        failed: 'the broker does not answer, or refuses it',
      }),
    )
    .action((model: string, mode: AdmissionMode, options: AdmissionArguments) =>
      runCommand(async (run) =>
        (await import('../models/admission.ts')).setAdmission(run, model, mode, options),
      ),
    )
}

/** What reads models is not needed for help. */
const loadFolder = () => import('../models/folder.ts')
