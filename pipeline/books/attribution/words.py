"""The English words that attribution knows: verbs of speech, pronouns, titles, nouns for men and women."""

from __future__ import annotations

VERBS = frozenset(
    "said says say saying thought thinks cried cries crying asked asks asking replied replies replying answered "
    "answers answering added adds adding shouted exclaimed exclaiming remarked whispered whispering muttered growled "
    "continued continues began begins repeated interrupted interposed screamed roared called observed inquired "
    "enquired sighed sobbed persisted pleaded returned grunted murmured snapped laughed demanded declared suggested "
    "insisted protested yelled grumbled hissed croaked wailed groaned gasped explained agreed announced bawled "
    "squeaked panted wondered shrieked ventured resumed rejoined retorted responded proceeded stammered faltered "
    "assented admitted confessed commented concluded ejaculated echoed corrected urged objected mused moaned "
    "begged warned ordered commanded promised assured reminded told tells objected chimed drawled quoted read sang "
    "hinted apologized pronounced reflected breathed bellowed barked boomed piped purred sneered scoffed "
    "snarled stuttered spluttered thundered mumbled lamented implored entreated reproved proposed pursued broke "
    "burst put concurred conceded acknowledged affirmed asserted stated reported recited related invited greeted "
    "hailed whimpered giggled chuckled smiled nodded sniffed snorted volunteered vociferated wept went trumpeted "
    "acquiesced advised complained confided contended counselled countered decided deplored dissented expostulated "
    "hesitated informed instructed intervened joked marvelled mocked parried prompted queried questioned quavered "
    "reassured recollected remonstrated replied sympathized teased threatened tittered twittered uttered squeaked "
    "shouting singing screaming murmuring calling repeating sobbing stipulated conjectured surmised ruminated reasoned "
    "bantered chaffed crooned cooed chirped cackled chortled guffawed gurgled gabbled jabbered lisped maintained "
    "blurted blustered bragged boasted cautioned challenged clamored clamoured coaxed cursed swore denied dictated "
    "disagreed emphasized enjoined exhorted expounded fumed gibed harangued howled intoned jeered jested "
    "moralized moralised opined pestered philosophized prayed preached predicted quipped railed ranted rasped raved "
    "reiterated reproached requested scolded shrilled sniggered snickered soothed speculated spoke squawked squealed "
    "stormed supplemented sympathised taunted testified translated upbraided vowed wheedled whined whistled whooped "
    "yelped yawned blazed flashed summed finished ended concurred coughed hazarded".split()
)
"""Beside a name they make it the speaker's."""

BARE_VERBS = frozenset(
    "say cry ask exclaim whisper murmur mutter answer reply remark call shout observe add repeat scream declare "
    "inquire enquire sing ejaculate".split()
)
"""After whom somebody heard: `he heard Anna say`, `then did Anna cry`."""
HEARD = frozenset("heard hears hear".split())

SUBJECTS = {"he": "he", "she": "she", "i": "i"}
OBJECTS = {"him": "he", "his": "he", "himself": "he", "her": "she", "hers": "she", "herself": "she", "me": "i",
           "my": "i", "myself": "i"}  # fmt: skip

MALE_TITLES = frozenset(
    "mr sir lord monsieur m count prince duke king uncle father brother rev reverend herr don signor baron master "
    "captain colonel major general sergeant lieutenant inspector judge grandfather grandpa squire".split()
)
FEMALE_TITLES = frozenset(
    "mrs miss ms lady madame mme mlle mademoiselle countess princess duchess queen aunt mother sister frau fräulein "
    "fraulein signora signorina madam granny grandma grandmother baroness".split()
)
TITLES = MALE_TITLES | FEMALE_TITLES | frozenset("dr doctor professor prof saint st nurse cousin".split())

ABBREVIATED = frozenset("mr mrs ms dr st prof rev m mme mlle".split())
"""Titles that a full stop may follow: `said the Doctor. He` is no name."""

RANKS = frozenset(
    "captain colonel major general sergeant lieutenant inspector judge dr doctor professor count countess prince "
    "duke duchess princess king queen baron baroness squire nurse".split()
)
"""Titles that stand for their bearer: `the Colonel`."""
MALE_ADDRESS = frozenset("sir papa father gentleman boy lad uncle man fellow sirrah".split())
FEMALE_ADDRESS = frozenset("madam ma'am ma’am mamma mama miss mother girl aunt lady".split())

MALE_NOUNS = frozenset(
    "man gentleman boy father brother husband son uncle nephew fellow lad king host master lord papa grandfather "
    "landlord waiter butler policeman footman coachman priest clergyman captain prince duke youth".split()
)
FEMALE_NOUNS = frozenset(
    "woman lady girl mother sister wife daughter aunt niece hostess queen maid widow mamma grandmother landlady "
    "governess housekeeper mistress princess duchess ladyship heroine".split()
)
OPENERS = frozenset(
    "the he she it they i we you and but or then now here there so as at when while if for yet still this that these "
    "those what who how why suddenly presently again once".split()
)
"""Written large where a sentence opens; no part of a name."""
DETERMINERS = frozenset("the a an his her my their this that your our its".split())
PREPOSITIONS = frozenset(
    "to of with for at by from upon on in into towards toward after before behind beside about against near over "
    "round around between beyond than like without under through".split()
)
CLAUSE_STARTERS = frozenset(
    "and but so then when while as though if because for that yet or before after until".split()
)
"""What may stand before the subject of a clause."""
