/**
 * The flights file holds local wall-clock times. Whether a flight from New York had arrived before another left
 * Los Angeles can only be told on one clock, so every airport here has its offset from UTC in the summer of 2001.
 * That year Arizona, Hawaii and most of Indiana kept standard time.
 */
const AIRPORTS_BY_OFFSET_HOURS: ReadonlyArray<readonly [offsetHours: number, airports: string]> = [
  [
    -5,
    'ABI ACT AMA AUS BHM BIS BMI BNA BPT BRO BTR CID CLL CMI CRP DAL DBQ DFW DLH DSM EVV FAR FSD FSM FWA GFK GGG ' +
      'GPT GRB HOU HRL HSV IAH ICT ILE IND JAN LAW LBB LFT LIT LNK LRD LSE MAF MCI MDW MEM MFE MKE MLI MLU MOB MOT ' +
      'MSN MSP MSY OKC OMA ORD PIA PNS RST SAT SBN SGF SHV SJT SPS STL SUX TUL TXK TYR VPS XNA',
  ],
  [-6, 'ABQ BIL BOI BZN COS DEN DRO EGE ELP FCA GTF GUC HDN HLN JAC MSO MTJ RAP SLC'],
  [
    -7,
    'BFL BUR EUG FAT GEG LAS LAX LGB MFR MRY OAK ONT PDX PHX PSC PSP RNO SAN SBA SBP SEA SFO SJC SMF SNA TUS',
  ],
  [-8, 'ADQ AKN ANC BET BRW CDV DLG DUT FAI GST JNU KTN OME OTZ PSG SCC SIT WRG YAK'],
  [-10, 'HNL ITO KOA LIH OGG'],
]

/** Everything not listed is in the east of the country, in Puerto Rico or on the Virgin Islands. */
const EASTERN_OFFSET_HOURS = -4

const offsetByAirport = new Map(
  AIRPORTS_BY_OFFSET_HOURS.flatMap(([offset, airports]) =>
    airports.split(' ').map((airport) => [airport, offset] as const),
  ),
)

/** The first departure, as a local time read as UTC, for which the offsets hold (summer time began on 1 April). */
export const SUMMER_TIME_BEGAN = new Date('2001-04-01T03:00:00Z')

/** Minutes to add to UTC for the local time of `airport` (IATA code) in the summer of 2001. */
export function offsetMinutes(airport: string): number {
  return (offsetByAirport.get(airport) ?? EASTERN_OFFSET_HOURS) * 60
}
