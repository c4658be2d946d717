mod rules_corpus;
mod rules_golden;
mod rules_planner;
mod rules_properties;
mod rules_safety;
mod rules_story;
